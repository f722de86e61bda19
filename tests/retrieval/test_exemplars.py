"""Finding what fits a turn."""

from dataclasses import dataclass

import pytest

from bot.retrieval.exemplars import ExemplarIndex, Exemplars
from bot.retrieval.tokenize import terms


@dataclass(frozen=True)
class Line:
    id: str
    said: str
    reply: str


LINES = [
    Line("sea", "How is the sea tonight?", "Grey, and up to the third step."),
    Line("bread", "What are you baking?", "Rye, with the seeds that Mara likes."),
    Line("tea", "你今天喝什么茶？", "碧潭飘雪，配一点闲话。"),
    Line("ghost", "Do you believe in ghosts?", "One of them borrows my ladder."),
]


def test_the_line_that_resembles_the_turn_comes_first():
    hits = ExemplarIndex(LINES).search("is the sea rough?", 2)

    assert hits[0].id == "sea"
    assert LINES[hits[0].position].id == "sea"


def test_chinese_is_cut_into_words():
    assert ExemplarIndex(LINES).search("有什么好茶", 1)[0].id == "tea"


def test_a_turn_that_shares_nothing_finds_nothing():
    assert ExemplarIndex(LINES).search("quantum chromodynamics", 3) == []


def test_lines_that_are_shown_anyway_are_left_out():
    assert [h.id for h in ExemplarIndex(LINES).search("sea ghosts", 3, frozenset({"sea"}))] == ["ghost"]


@pytest.mark.parametrize("text", ["", "   ", "!!!", "\x00\ud800"])
def test_a_text_without_words_finds_nothing_and_breaks_nothing(text):
    index = ExemplarIndex(LINES)

    assert index.search(text, 3) == []
    assert index.search("sea", 1)[0].id == "sea"


def test_an_empty_character_has_an_empty_index():
    assert ExemplarIndex([]).search("sea", 3) == []


def test_english_endings_and_quotes_do_not_matter():
    assert terms("The baker’s ghosts") == terms("a baker, and his ghost")


async def test_a_new_revision_is_searched_at_once():
    exemplars = Exemplars()

    assert (await exemplars.search("house/x", "1", LINES[:1], "ghosts", 1)) == []
    assert [h.id for h in await exemplars.search("house/x", "2", LINES, "ghosts", 1)] == ["ghost"]
