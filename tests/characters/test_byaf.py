"""Backyard AI's archives: what becomes of a character, its scenarios and its pictures."""

import json
from typing import Any

import pytest

from bot.characters.importing import Imported, read_card
from bot.config import CharacterSettings
from bot.errors import CardError
from tests.characters.files import archive, picture

LIMITS = CharacterSettings()
HOME = "characters/ada-1"

MANIFEST = {
    "schemaVersion": 1,
    "createdAt": "2025-06-06T12:00:00Z",
    "author": {"name": "Ben", "backyardURL": "https://backyard.ai/hub/user/ben"},
    "characters": [f"{HOME}/character.json"],
    "scenarios": ["scenarios/one.json", "scenarios/two.json"],
    "x-new": [1],
}
CHARACTER = {
    "schemaVersion": 1,
    "id": "ada-1",
    "name": "Ada",
    "displayName": "Ada the clockmaker",
    "isNSFW": True,
    "persona": "{character} mends clocks for {User}; {{char}} stays, and so does {other}.",
    "loreItems": [{"key": "clock, tower", "value": "{character} built it."}, {"key": "goat", "value": "Eats springs."}],
    "images": [{"path": "images/gone.png", "label": ""}, {"path": "images/ada.webp", "label": "a"}, {"path": "images/b.png", "label": "b"}],
}
ONE = {
    "schemaVersion": 1,
    "narrative": "In {character}'s shop.",
    "formattingInstructions": "Short sentences.",
    "firstMessages": [{"characterID": "ada-1", "text": "Mind the step, {user}."}],
    "exampleMessages": [{"characterID": "ada-1", "text": "#{user}: Hi\n#{character}: Tick."}, {"characterID": "ada-1", "text": "Tock."}],
    "messages": [{"type": "human", "text": "canary-secret"}],
    "temperature": 0.7,
    "backgroundImage": "images/shop.png",
}
TWO = {"schemaVersion": 1, "narrative": "At night.", "firstMessages": [{"text": "Still up?"}], "title": "Night"}


def files(**changes: Any) -> dict[str, bytes]:
    documents = {
        "manifest.json": {**MANIFEST, **changes.get("manifest", {})},
        f"{HOME}/character.json": {**CHARACTER, **changes.get("character", {})},
        "scenarios/one.json": {**ONE, **changes.get("one", {})},
        "scenarios/two.json": TWO,
    }
    return {
        **{name: json.dumps(document).encode() for name, document in documents.items()},
        f"{HOME}/images/ada.webp": picture(40, "WEBP"),
        f"{HOME}/images/b.png": picture(),
    }


def read(entries: dict[str, bytes], limits: CharacterSettings = LIMITS) -> Imported:
    return read_card(archive(entries), "ada.byaf", limits)


def refusal(entries: dict[str, bytes], limits: CharacterSettings = LIMITS) -> str:
    """The sentence with which a file is refused; the next good one is read as ever."""
    with pytest.raises(CardError) as refused:
        read(entries, limits)
    assert read(files()).card.name == "Ada"
    assert str(refused.value).startswith("ada.byaf: ")
    return str(refused.value)


def test_a_backyard_character_becomes_a_card():
    """Persona, scenario, greetings, examples and lore find their places, with the macros that cards know."""
    found = read(files())
    card = found.card

    assert (found.format, card.name, card.creator, card.system_prompt) == ("byaf", "Ada", "Ben", "Short sentences.")
    assert card.description == "{{char}} mends clocks for {{user}}; {{char}} stays, and so does {other}."
    assert card.scenario == "In {{char}}'s shop."
    assert card.greetings == ("Mind the step, {{user}}.", "Still up?")
    assert [[(line.by_character, line.text) for line in dialogue] for dialogue in card.examples] == [
        [(False, "Hi"), (True, "Tick.")],
        [(True, "Tock.")],
    ]
    assert card.book is not None
    assert [(entry.keys, entry.content) for entry in card.book.entries] == [
        (("clock", "tower"), "{{char}} built it."),
        (("goat",), "Eats springs."),
    ]
    assert card.settings.age_restricted


def test_the_first_picture_that_is_there_is_the_portrait():
    """What is not kept is told by number."""
    found = read(files())

    assert found.portrait is not None
    assert any("1 other files in the archive are not kept" in warning for warning in found.warnings)


def test_what_has_no_place_is_kept_beside_and_conversations_are_not():
    """Settings, dates and what is new in the format survive; what a person said to the character is theirs."""
    found = read(files())

    kept = found.card.document()["data"]["extensions"]["byaf"]
    assert (kept["manifest"]["x-new"], kept["character"]["displayName"]) == ([1], "Ada the clockmaker")
    assert [scenario.get("narrative") for scenario in kept["scenarios"]] == [None, "At night."]
    assert kept["scenarios"][0]["temperature"] == 0.7
    assert "canary-secret" not in found.card.text
    assert any("conversations" in warning for warning in found.warnings)


def test_a_bare_archive_is_enough():
    """A name and nothing else; the name that is shown where there is no short one; a scenario that is not there."""
    bare = {"manifest.json": json.dumps({"characters": ["c.json"], "scenarios": ["gone.json"]}).encode()}

    assert read({**bare, "c.json": b'{"name": "Ada"}'}).card.name == "Ada"
    found = read({**bare, "c.json": b'{"name": "", "displayName": "Ada B"}'})
    assert found.card.name == "Ada B"
    assert any("gone.json is named in the archive and is not in it" in warning for warning in found.warnings)


def test_newer_archives_and_archives_of_several_are_read_with_a_warning():
    """The first character counts, as the format's first version has but one."""
    paths = [f"{HOME}/character.json", "other.json"]

    warnings = read(files(manifest={"schemaVersion": 2, "characters": paths})).warnings

    assert any("schemaVersion is 2, not the 1" in warning for warning in warnings)
    assert any("2 characters are in the archive" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"manifest": {"characters": []}}, "names no character"),
        ({"manifest": {"characters": "x"}}, "names no character"),
        ({"manifest": {"characters": ["../x.json"]}}, "is not in it"),
        ({"character": {"name": 5}}, "data.name must be text"),
        ({"character": {"persona": ["x"]}}, "data.description must be text, not a list"),
        ({"character": {"loreItems": "x"}}, "character_book.entries must be a list"),
        ({"one": {"firstMessages": [{"text": 7}]}}, "data.first_mes must be text, not a number"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(changes, says):
    """The field and the kind."""
    assert says in refusal(files(**changes))


def test_damaged_documents_are_refused_by_name():
    """The file in the archive is named."""
    assert "scenarios/one.json: is not valid JSON" in refusal({**files(), "scenarios/one.json": b"{"})
    assert "manifest.json must be an object" in refusal({**files(), "manifest.json": b"[]"})


def test_all_documents_together_are_held_to_what_one_card_may_have():
    """Many scenarios do not add up to more than a card; the archive's own limits hold as for CHARX."""
    scenarios = {f"scenarios/{n}.json": json.dumps({"x": "y" * 40_000}).encode() for n in range(60)}
    many = {**files(manifest={"scenarios": list(scenarios)}), **scenarios}

    assert "with it the documents have more than 2,097,152 bytes" in refusal(many)
    assert "grows" in refusal({**files(), "zeros": bytes(30_000_000)})
    assert "entries; the limit is 512" in refusal({**files(), **{f"{n}": b"" for n in range(512)}})
