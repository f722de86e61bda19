"""What people read about characters, and what validate finds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bot.characters.card import new_card, to_v3
from bot.characters.cast import Character, make_character
from bot.characters.casting_sheet import MASK, casting_sheet, token_counts, voices_sheet, wrap
from bot.characters.lines import Exemplar
from bot.characters.prompt import system_text
from bot.characters.validate import validate_folder
from bot.config import CharacterSettings, SessionSettings
from bot.messages import HOUSE
from tests.characters.files import picture

LIMITS = CharacterSettings()
BUDGETS = SessionSettings()


def words(text: str) -> int:
    return len(text.split())


def character(name: str = "Mara Quill", **troupe: Any) -> Character:
    card = new_card(
        name,
        LIMITS,
        description="{{char}} keeps a light.",
        first_mes="Mind the step, {{user}}.",
        character_book={"token_budget": 3, "entries": [{"keys": ["lamp"], "content": "The lamp is out now.", "insertion_order": 1}]},
        extensions={"troupe": {"tagline": "Keeper", "catchphrases": ["Seen worse."], "profile": {"identity": "A keeper."}, **troupe}},
    )
    lines = tuple(
        Exemplar(f"{name}-{n}", None, "Hello?", f"Line {n} of mine. Seen worse, says Mara.", "neutral", None, "x") for n in range(9)
    )
    return make_character(HOUSE, name.lower().replace(" ", "-"), card, lines)


def test_a_casting_sheet_tells_who_it_is_and_what_it_costs():
    """Names are filled in, tokens stand against budgets, nothing is a raw value of Python."""
    sheet = casting_sheet(character(), words, BUDGETS)

    assert "Mara Quill keeps a light." in sheet
    assert "Mind the step, you." in sheet
    assert re.search(rf"card +{words(system_text(character()))} of +900", sheet)
    assert "9 exchanges" in sheet
    assert not re.search(r"None|\{\{|\(\)|<", sheet)


def test_the_card_costs_what_the_prompt_begins_with():
    """Its texts and the rules around them: what the renderer refuses over the budget, the sheet shows over the budget."""
    someone = character()
    [(_, tokens, _)] = [row for row in token_counts(someone, words, BUDGETS) if row[0] == "card"]

    assert tokens == words(system_text(someone)) > words(someone.card.description)
    assert "honestly" in system_text(someone)


def test_lore_can_cost_no_more_than_its_budget():
    """The book's own budget where it is smaller."""
    assert ("lore, at most", 3, 3) in token_counts(character(), words, BUDGETS)


def test_a_bare_character_has_a_sheet_too():
    """A card with nothing but a name."""
    assert "Ada" in casting_sheet(make_character(HOUSE, "ada", new_card("Ada", LIMITS)), words, BUDGETS)


def test_voices_show_no_names_and_no_catchphrases_before_the_key():
    """The same seed gives the same sheet; another mixes anew."""
    company = [character("Mara Quill"), character("Odo Brandt"), character("周美兰")]

    sheet = voices_sheet(company, seed=1)
    lines, key = sheet.split("── Key")

    assert not re.search(r"mara|quill|odo|brandt|美兰|seen worse", lines, re.IGNORECASE)
    assert lines.count(MASK) == 2 * 18
    assert {"Mara Quill", "Odo Brandt", "周美兰"} == set(re.findall(r": ([^,\n]+)", key))
    assert sheet == voices_sheet(company, seed=1)
    assert sheet != voices_sheet(company, seed=2)


@pytest.mark.parametrize("text", ["", "one two three", "x" * 50, "周美兰在茶馆里唱戏。" * 4, "mixed 周美兰 words " * 5])
def test_wrapped_lines_fit_and_lose_nothing(text):
    """Chinese counts two cells a character."""
    lines = wrap(text, 20)

    assert all(sum(2 if ord(c) > 0x2E80 else 1 for c in line) <= 20 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


# ------------------------------------------------------------------ validate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing wrong in it."""
    home = tmp_path / "ada"
    home.mkdir()
    (home / "card.json").write_text(json.dumps(to_v3(new_card("Ada", LIMITS, description="A clockmaker.", first_mes="Tick."))))
    (home / "lines.jsonl").write_text(line("ada-1"))
    (home / "held_out.jsonl").write_text(line("ada-h1", said="And now?"))
    (home / "portrait.png").write_bytes(picture())
    return home


def line(number: str, **changes: Any) -> str:
    good = {"id": number, "with": None, "said": "Hello?", "reply": "Come in.", "emotion": "joy", "scene": None, "source": "original"}
    return json.dumps({**good, **changes}) + "\n"


def problems(folder: Path) -> list[str]:
    return validate_folder(folder, LIMITS, count=words, budgets=BUDGETS)


def test_a_good_folder_has_no_problems(folder):
    """Card, lines, held-out lines and portrait."""
    assert problems(folder) == []


def test_every_bad_line_is_told_at_once(folder):
    """File, number and field of each, not only of the first."""
    bad = [
        line("ada-1"),
        "{\n",
        line("ada-2", emotion="hungry"),
        line("ada-1"),
        line("ada-3", reply="Ada: hm"),
        line("ada-4", said="hi {{user}}"),
    ]
    (folder / "lines.jsonl").write_text("".join(bad))

    found = problems(folder)

    assert len(found) == 5
    assert "lines.jsonl:2" in found[0]
    assert "lines.jsonl:3: emotion" in found[1]
    assert "lines.jsonl:4: id 'ada-1' stands already in line 1" in found[2]
    assert "own name" in found[3]
    assert "{{user}}" in found[4]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("card.json", b"{", "not valid JSON"),
        ("card.json", b'{"name": "Ada"}', "data.description is empty"),
        (
            "card.json",
            json.dumps(to_v3(new_card("Ada", LIMITS, description="x " * 900, first_mes="y"))).encode(),
            "tokens; the budget is 900",
        ),
        ("lines.jsonl", b"\xff", "cannot be read"),
        ("held_out.jsonl", line("ada-1").encode(), "is also in lines.jsonl"),
        ("held_out.jsonl", line("ada-h1").encode(), "the same exchange"),
        ("portrait.png", b"nonsense", "not a picture"),
        ("portrait.png", bytes(150_001), "the limit is 150,000"),
    ],
)
def test_what_is_wrong_is_told_by_file_field_and_limit(folder, name, content, says):
    """And the other files are still looked at."""
    (folder / name).write_bytes(content)

    found = problems(folder)

    assert any(says in problem and name in problem for problem in found), found


def test_a_folder_that_is_none_or_has_no_slug_is_told(folder, tmp_path):
    """The folder's name is the slug."""
    folder.rename(tmp_path / "Ada B")

    assert "is no folder" in problems(folder)[0]
    assert "slug" in problems(tmp_path / "Ada B")[0]
