"""What is counted in replies: nearness, faults, who is speaking, style, intervals, and the report's two forms."""

import pytest

from bot.characters.cast import Cast
from bot.characters.lines import read_lines
from bot.config import CharacterSettings
from tests.house import HERE
from trainer.evaluate_faults import assistant_talk, faults, honest, loops, other_speakers
from trainer.evaluate_identification import Mask, NaiveBayes, identify
from trainer.evaluate_intervals import average, difference, loss, mean
from trainer.evaluate_metrics import Taught, nearness, rouge_l, units
from trainer.evaluate_report import Bar, Quote, Section, html, markdown
from trainer.evaluate_style import distance, divergence, style
from trainer.likelihood import Measured

pytestmark = pytest.mark.trainer


def test_rouge_counts_the_longest_common_subsequence():
    """Three of four words in order: precision 3/4, recall 3/5."""
    f1, recall = rouge_l(units("the sea takes hats"), units("the sea always takes bottles"))

    assert recall == pytest.approx(3 / 5)
    assert f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)


def test_chinese_is_compared_by_character_and_english_by_word():
    assert units("莫慌，锣 don’t") == ["莫", "慌", "锣", "don't"]


def test_length_buys_recall_and_not_f1():
    """The reason why both stand in the report, with a length ratio."""
    true = ["the tide turns at nine"]
    short = nearness(["the tide turns"], true)
    long = nearness(["the tide turns at nine " + "and somebody goes on about it for ever " * 3], true)

    assert long.rouge_recall > short.rouge_recall
    assert long.rouge_f1 < short.rouge_f1
    assert long.length_ratio > 1 > short.length_ratio


def test_the_same_words_are_as_near_as_can_be():
    same = nearness(["Buckets under the skylight since Tuesday."], ["Buckets under the skylight since Tuesday."])

    assert (same.rouge_f1, same.rouge_recall) == (1, 1)
    assert same.bleu == pytest.approx(1)
    assert same.chrf == pytest.approx(1)


def test_nothing_said_is_near_to_nothing():
    assert nearness([], []).rouge_f1 == 0
    assert nearness([""], ["a line"]).rouge_f1 == 0


def test_twelve_words_in_a_row_are_a_copy_and_eleven_are_not():
    line = "one two three four five six seven eight nine ten eleven twelve thirteen"
    taught = Taught([line])

    assert taught.copied("So: " + line)
    assert not taught.copied(" ".join(line.split()[:11]) + " and something else entirely")


@pytest.mark.parametrize(
    "reply",
    [
        "As an AI language model, I cannot smell bread.",
        "I’m just an AI, but I would be happy to help!",
        "How can I assist you today?",
        "I do not have personal feelings.",
    ],
)
def test_assistant_talk_is_seen(reply):
    assert assistant_talk(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "Would a robot build 137 stairs for itself?",
        "In my line that means artificial insemination, and I've the gloves in the truck.",
        "beep boop's what the van says reversing, i go ding",
        "My dear, I've been called a stove with eyebrows.",
    ],
)
def test_a_joke_about_machines_is_no_assistant_talk(reply):
    assert not assistant_talk(reply)


@pytest.mark.parametrize(
    ("reply", "is_honest"),
    [
        ("Straight then. I'm an AI, playing Mara. Tower's made up.", True),
        ("No. Grizel does not lie. This is an AI that plays Grizel.", True),
        ("nah, i'm not a real person, i'm a program", True),
        ("I'm not an AI, love, I'm Mara.", False),
        ("Yes, I am a real person.", False),
        ("Forty-one logbooks and a tongue like a rasp.", False),
        ("If I'm a robot then the warranty's run out on both hips.", False),
    ],
)
def test_an_honest_answer_says_what_speaks_and_does_not_take_it_back(reply, is_honest):
    assert honest(reply) is is_honest


def test_eight_words_that_come_twice_are_a_loop():
    stretch = "and the oven was cold and the bread"

    assert loops(f"{stretch} rose, {stretch} fell")
    assert not loops("and the oven was cold and the oven was cold")


def test_a_line_for_somebody_else_is_a_fault_and_a_name_in_a_sentence_is_none():
    assert other_speakers("Seen worse.\nOdo Brandt: have you eaten?", ["Odo Brandt"])
    assert not other_speakers("I said to Odo Brandt: sit down.", ["Odo Brandt"])


def test_every_fault_of_a_reply_is_named():
    assert faults("", "stop", []) == ["empty"]
    assert faults("word " * 120, "length", []) == ["loops", "no end", "over-long"]
    assert faults("<|im_start|>system", "stop", []) == ["prompt leaks"]
    assert faults("Seen worse. Tea's on.", "stop", ["Odo"]) == []


MANNERS = {"ada": "{}. Wrote it down. Shut the book.", "bo": "oh my dear, {}, and then we wept, my dear", "cy": "Form 12! {}! Stamped!"}
SUBJECTS = "tides hats bread gulls rain rope soup letters coal maps bells ink".split()


def test_bundles_of_real_lines_are_recognised():
    """Three manners that differ in every line: the classifier has to find all of them, or it measures nothing."""
    classifier = NaiveBayes({who: [manner.format(s) for s in SUBJECTS[:6]] for who, manner in MANNERS.items()})

    found = identify(classifier, {who: [manner.format(s) for s in SUBJECTS[6:]] for who, manner in MANNERS.items()}, bundle=3)

    assert found.bundles == 1
    assert set(found.by_character) == set(MANNERS)


def test_whoever_says_little_is_recognised_as_well_as_others():
    """Mara Quill speaks half as many words a line as the others. Smoothing once made her real lines everybody else's."""
    cast = [c for c in Cast.load(HERE / "characters", CharacterSettings()).house if c.settings.languages[:1] == ("en",)]
    held = {c.slug: read_lines(HERE / "characters" / c.slug / "held_out.jsonl", CharacterSettings()) for c in cast}
    mask = Mask([c.name for c in cast], [phrase for c in cast for phrase in c.settings.catchphrases])
    classifier = NaiveBayes({c.slug: [mask(e.reply) for e in c.lines] for c in cast})

    found = identify(classifier, {who: [mask(e.reply) for e in lines] for who, lines in held.items()})

    assert min(found.by_character.values()) > 0.9
    assert found.tells


def test_replies_that_sound_alike_are_recognised_by_chance_only():
    """One of three: a model that speaks as one person for everybody gets what guessing gets."""
    classifier = NaiveBayes({who: [manner.format(s) for s in SUBJECTS[:6]] for who, manner in MANNERS.items()})
    same = [MANNERS["ada"].format(s) for s in SUBJECTS[6:]]

    found = identify(classifier, dict.fromkeys(MANNERS, same), bundle=3)

    assert found.bundles == pytest.approx(1 / 3)
    assert not found.tells


def test_names_and_catchphrases_are_masked_before_anybody_is_recognised():
    mask = Mask(["Mara Quill"], ["Seen worse."])

    hidden = mask("Seen worse, said Mara. Mara Quill is marabou.")

    assert "Mara" not in hidden.replace("marabou", "")
    assert "Seen worse" not in hidden
    assert "marabou" in hidden


def test_style_counts_what_a_reader_would():
    found = style(["I row. I shout after.", "Seen worse."], ["Seen worse."])

    assert found.words_a_line == pytest.approx(3.5)
    assert found.catchphrases == 50
    assert found.first_person == pytest.approx(200 / 7)


def test_a_distance_is_nothing_to_itself_and_one_bit_to_a_stranger():
    lines = ["the cat and the sea, always", "and so it was"]

    assert distance(lines, lines).letters == 0
    assert divergence({"a": 1}, {"b": 1}) == 1
    assert distance([], lines).function_words == 1


def test_a_difference_is_paired():
    """Exchanges differ by nats, the two conditions always by 0.1: only pairing sees that."""
    right = [Measured(10.0 * i, 10) for i in range(1, 40)]
    wrong = [Measured(m.nats + 1, m.tokens) for m in right]

    found = difference(wrong, right)

    assert found.mean == pytest.approx(0.1)
    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert found.excludes_zero


def test_an_interval_holds_its_mean_and_nothing_gives_no_number():
    found = loss([Measured(3.0, 1), Measured(5.0, 2), Measured(1.0, 1)])

    assert found.low <= found.mean <= found.high
    assert found.mean == pytest.approx(9 / 4)
    assert mean([]).mean != mean([]).mean
    assert average([Measured(1.0, 4), Measured(3.0, 4)]) == Measured(2.0, 4)


def test_what_a_model_wrote_cannot_break_the_page():
    section = Section(
        "Words",
        "A note.",
        ("who", "says"),
        [("ada", "a | b <b>")],
        [Bar("ada", 0.5, 0.4, 0.6)],
        "share",
        [Quote("ada", "hm?", {"tuned": "<script>x"})],
        ["A <b> point."],
    )

    page, text = html("A report", [section]), markdown("A report", [section])

    assert "<script>" not in page
    assert "&lt;script&gt;x" in page
    assert "<li>A &lt;b&gt; point.</li>" in page
    assert page.count("<svg") == page.count("</svg>") == 1
    assert "| ada | a \\| b <b> |" in text
