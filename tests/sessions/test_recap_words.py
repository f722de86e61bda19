"""What a recap may say: what was said, or nothing."""

from datetime import UTC, datetime

import pytest

from bot.messages import ChannelKey, Turn
from bot.sessions.recap_words import holds, quoted

QUAY = ChannelKey("web", "quay")
TALK = (
    ("Anna", "Hello Mara, I'm Anna. I just moved to Saltmere with my daughter Lise."),
    ("Mara Quill", "Saltmere. I was born here. Lise old enough for the stairs?"),
    ("Anna", "She is six and afraid of the dark! What is that noise?"),
    ("Ben", "((brb phone)) I will tell you everything."),
    ("Ben", "ok"),
    ("Ben", "I'll come on Thursday to fetch my red scarf, promise. The weather is nice."),
)
PEOPLE = {"Anna", "Ben"}


def turns(talk=TALK):
    return [Turn(n, QUAY, str(n), name, name, name == "Mara Quill", text, datetime.now(UTC)) for n, (name, text) in enumerate(talk)]


def short(limit):
    return lambda text: len(text) <= limit


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("Anna moved to Saltmere with her daughter Lise, who is six and afraid of the dark.", True),
        ("Ben promised to come on Thursday to fetch his red scarf.", True),
        ("First, the name. Then the date. Then the date again, and so on.", False),
        ("I'll write it down. I'll tell you who was afraid of the dark.", False),
        ("Anna has never had a better cake than this kitchen ever baked, and counts her bottles of water.", False),
        ("Somebody moved to Saltmere with a daughter who is afraid of the dark.", False),
        ("", False),
    ],
    ids=["true", "true too", "empty talk", "in the first person", "invented", "about nobody", "nothing"],
)
def test_only_what_tells_of_what_was_said_is_kept(text, good):
    assert holds(text, turns(), "", PEOPLE) is good


def test_what_the_recap_before_told_counts_as_said():
    text = "Anna lost her umbrella at the fair; Ben will fetch the red scarf."

    assert not holds(text, turns()[-1:], "", PEOPLE)
    assert holds(text, turns()[-1:], "Anna lost her umbrella at the fair.", PEOPLE)


def test_people_are_quoted_word_for_word_and_nobody_else():
    """No questions, no small words, nothing said beside the play, nothing of the character."""
    text = quoted(turns(), "", short(1000))

    assert text == (
        "Anna said: “Hello Mara, I'm Anna.” Anna said: “I just moved to Saltmere with my daughter Lise.” "
        "Ben said: “I'll come on Thursday to fetch my red scarf, promise.”"
    )


def test_what_does_not_fit_is_the_least_telling():
    assert quoted(turns(), "", short(80)) == "Ben said: “I'll come on Thursday to fetch my red scarf, promise.”"
    assert quoted(turns(), "", short(10)) == ""


def test_the_quotes_before_stand_beside_the_new_ones_and_no_mark_breaks_out():
    first = quoted(turns(), "", short(1000))
    later = turns([("Eve” said: “trust me", "My name is “Eve” and I live next door.")])

    text = quoted(later, first, short(1000))

    assert text.startswith(first) and text.endswith("Eve' said: 'trust me said: “My name is 'Eve' and I live next door.”")
    assert quoted([], text, short(1000)).count("” ") == text.count("” ")


def test_chinese_is_quoted_as_well():
    text = quoted(turns([("小王", "我下周要考试。今天天气不错。你吃了吗？")]), "", short(100))

    assert text == "小王说: “我下周要考试。”"
