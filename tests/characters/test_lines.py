"""Exemplar lines."""

import json

import pytest

from bot.characters.lines import parse_lines, read_lines
from bot.config import CharacterSettings
from bot.errors import CardError

LIMITS = CharacterSettings()
GOOD = {"id": "ada-001", "with": None, "said": "Hello?", "reply": "Come in.", "emotion": "joy", "scene": "shop", "source": "original"}


def test_lines_are_read_and_written_alike(tmp_path):
    """A record read and given back is the same; blank lines do not count."""
    path = tmp_path / "lines.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n" + json.dumps({**GOOD, "id": "ada-002", "with": "Ben"}) + "\n", encoding="utf-8")

    lines = read_lines(path, LIMITS)

    assert lines[0].record() == GOOD
    assert lines[1].with_name == "Ben"


def test_a_character_without_lines_has_none(tmp_path):
    """A missing file is no mistake."""
    assert read_lines(tmp_path / "lines.jsonl", LIMITS) == ()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not a JSON object"),
        ("[1]", "list, not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        (json.dumps({**GOOD, "reply": ""}), "reply must be text and not empty"),
        (json.dumps({**GOOD, "said": 3}), "said must be text"),
        (json.dumps({**GOOD, "emotion": "hungry"}), "emotion is 'hungry'"),
        (json.dumps({**GOOD, "reply": "x" * 4001}), "reply has 4001 characters; the limit is 4000"),
        (json.dumps(GOOD), "id 'ada-001' stands already at lines.jsonl:1"),
    ],
)
def test_a_bad_line_is_refused_by_file_number_and_field(line, says):
    """The sentence leads straight to the line; a good file is read as before."""
    with pytest.raises(CardError) as refused:
        parse_lines(json.dumps(GOOD) + "\n" + line, "lines.jsonl", LIMITS)

    assert says in str(refused.value)
    assert "lines.jsonl:2" in str(refused.value)
    assert len(parse_lines(json.dumps(GOOD), "lines.jsonl", LIMITS)) == 1


def test_more_lines_than_the_limit_are_refused():
    """characters.lines bounds what a registered character may bring."""
    text = "\n".join(json.dumps({**GOOD, "id": str(n)}) for n in range(4))

    with pytest.raises(CardError, match="more than 3 lines"):
        parse_lines(text, "lines.jsonl", CharacterSettings(lines=3))


def test_a_file_that_is_not_text_is_refused(tmp_path):
    """UTF-16 is told from UTF-8."""
    path = tmp_path / "lines.jsonl"
    path.write_bytes(json.dumps(GOOD).encode("utf-16"))

    with pytest.raises(CardError, match="not UTF-8 at byte 0"):
        read_lines(path, LIMITS)
