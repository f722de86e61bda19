"""What a character says, as Telegram shows it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.connectors.telegram_words import HEAD_RESERVE, LONGEST, plainly, spoken, uncalled, units
from bot.messages import Face, Limits
from bot.sessions.split_reply import split_reply
from tests.loopback.telegram_world import entities

MARA = Face("house/mara-quill", "mara-quill", "Mara Quill", emoji="🕯️")
LIMITS = Limits(units="utf16", length=LONGEST - HEAD_RESERVE)


def marked(text, entity):
    raw = text.encode("utf-16-le")
    return entity.type, raw[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le")


def test_the_name_stands_in_bold_before_the_words_and_emphasis_becomes_entities():
    words, found = spoken(MARA, "🌊 *turns away* **No.** I said `no`, _twice_.\n```py\nx = 1\n```")

    assert words == "🕯️ Mara Quill\n🌊 turns away No. I said no, twice.\nx = 1\n"
    assert [marked(words, e) for e in found] == [
        ("bold", "Mara Quill"),
        ("italic", "turns away"),
        ("bold", "No."),
        ("code", "no"),
        ("italic", "twice"),
        ("pre", "x = 1\n"),
    ]


@pytest.mark.parametrize("text", ["2 * 3 * 4", "snake_case_name", "a ** b", "* ", "__init__", "5*6*7", "```", "`", "<b>&amp;</b>"])
def test_signs_that_are_no_emphasis_stay_as_they_are(text):
    words, found = spoken(None, text)

    assert (words, found) == (text, [])


@pytest.mark.parametrize("text", ["@everyone_here", "hello @anna_here!", "(@channel_of_ours)", "@anna_here@ben_there"])
def test_what_a_model_writes_calls_nobody(text):
    assert [e for e in entities(uncalled(text)) if e["type"] == "mention"] == []
    assert units(uncalled(text)) == units(text)


def test_addresses_and_our_own_name_stay_as_they_are():
    assert uncalled("write to anna@harbour.example") == "write to anna@harbour.example"
    assert uncalled("say @troupe_bot or @anna_here", "Troupe_Bot") == "say @troupe_bot or ＠anna_here"


LONG_NAME = Face("telegram:5/x", "x", "𝔐" * 80, emoji="👩‍👩‍👧‍👦")
TEXTS = st.text(alphabet=st.sampled_from("ab @*_`\n🌊א👩‍👦é."), max_size=300).map(lambda t: t * 20)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_no_message_is_too_long_and_every_entity_lies_in_it(text):
    for piece in split_reply(text, LIMITS):
        words, found = spoken(LONG_NAME, piece)

        assert units(words) <= LONGEST and units(plainly(LONG_NAME, piece)) <= LONGEST
        assert all(e.length > 0 and e.offset + e.length <= units(words) for e in found)
