"""Which of a few short texts a turn brings to mind."""

from bot.retrieval.memories import MemoryIndex

TOLD = [
    "My brother Tom sails to Bergen every spring.",
    "I am allergic to walnuts.",
    "The lighthouse was dark on Tuesday.",
    "我养了一只叫豆豆的猫。",
]


def found(text, texts=TOLD, **more):
    return [texts[at] for at in MemoryIndex(texts).search(text, 2, **more)]


def test_a_turn_brings_to_mind_what_shares_its_words():
    assert found("Shall we have walnut cake?") == ["I am allergic to walnuts."]
    assert found("Has Tom written from Bergen?") == [TOLD[0]]
    assert found("你的猫还好吗？") == [TOLD[3]]


def test_one_single_text_can_be_found():
    """Okapi's weights are zero or below where a word stands in half of the texts, and nothing was ever found."""
    assert found("walnuts?", ["I am allergic to walnuts."]) == ["I am allergic to walnuts."]


def test_nothing_comes_to_mind_without_a_telling_word():
    assert found("And how are you?") == []
    assert found("") == found("walnuts", []) == []
    everywhere = [f"The sea, {word}." for word in ("wide", "cold", "loud", "calm", "deep", "grey")]
    assert found("Tell me of the sea", everywhere) == []
    assert found("The grey sea", everywhere) == ["The sea, grey."]


def test_names_that_everybody_says_bring_nothing_to_mind():
    assert found("Tom, are you well?", without=("Tom",)) == []
    assert found("Tom, and Bergen?", without=("Tom",)) == [TOLD[0]]
