"""BYAF, the archive format of Backyard AI: a zip with ``manifest.json``, one character, its scenarios and pictures.

What has a place in a card is put there; the rest is kept under ``extensions.byaf``, except the conversations, which are
somebody's own. Source: the specification in ahoylabs/byaf, version 1.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from bot.characters.archive import Archive, ArchivedCard
from bot.characters.card import card_from_document
from bot.characters.card_json import load_json
from bot.config import CharacterSettings
from bot.errors import CardError

MANIFEST_ENTRY = "manifest.json"
_VERSION = 1
_MACRO = re.compile(r"(?:#(?=\{\w+\}:))?(?<!\{)\{(user|character)\}(?!\})", re.IGNORECASE)  # #{user}: opens a line

# What is put into the card, names what is not kept, or is somebody's conversation.
_MANIFEST_PLACED = ("characters", "scenarios")
_CHARACTER_PLACED = ("name", "persona", "loreItems", "images")
_SCENARIO_PLACED = ("messages", "firstMessages", "backgroundImage")
_FIRST_PLACED = (*_SCENARIO_PLACED, "narrative", "exampleMessages", "formattingInstructions")


def read_byaf(archive: Archive, limits: CharacterSettings) -> ArchivedCard:
    """The character in an archive that has ``manifest.json``, and its first picture. Raises ``CardError``."""
    reader = _Reader(archive, limits)
    manifest = reader.document(MANIFEST_ENTRY)
    path = reader.character_path(manifest)
    character = reader.document(path)
    scenarios = [reader.document(name) for name in dict.fromkeys(_texts(manifest.get("scenarios"))) if reader.is_there(name)]
    images = [posixpath.join(posixpath.dirname(path), image) for image in _texts(_each(character.get("images"), "path"))]
    picture = next((archive.read(image, limits.card_bytes) for image in images if image in archive), None)
    others = len(archive) - reader.documents - (picture is not None)
    if others > 0:
        reader.warnings.append(f"{archive.where}: {others} other files in the archive are not kept")
    if any(scenario.get("messages") for scenario in scenarios):
        reader.warnings.append(f"{archive.where}: the conversations in the archive are not kept")
    document = {"spec": "chara_card_v3", "spec_version": "3.0", "data": _data(manifest, character, scenarios)}
    card = card_from_document(document, limits, archive.where)
    return ArchivedCard(card, picture, (*card.warnings, *reader.warnings))


class _Reader:
    """The documents of one archive. All of them together are held to what one card may have."""

    def __init__(self, archive: Archive, limits: CharacterSettings) -> None:
        self.documents = 0
        self.warnings: list[str] = []
        self._archive = archive
        self._limits = limits
        self._bytes = 0

    def document(self, name: str) -> Mapping[str, Any]:
        where = f"{self._archive.where}: {name[:80]}"
        data = self._archive.read(name, self._limits.json_bytes)
        self._bytes += len(data)
        if self._bytes > self._limits.json_bytes:
            limit = self._limits.json_bytes
            raise CardError(f"{where}: with it the documents have more than {limit:,} bytes, which is the limit (characters.json_bytes)")
        document = load_json(data, self._limits, where)
        if not isinstance(document, Mapping):
            raise CardError(f"{where} must be an object")
        self.documents += 1
        version = document.get("schemaVersion", _VERSION)
        if version != _VERSION:
            self.warnings.append(f"{where}: schemaVersion is {str(version)[:20]}, not the {_VERSION} known here; it is read as that")
        return document

    def character_path(self, manifest: Mapping[str, Any]) -> str:
        paths = _texts(manifest.get("characters"))
        if not paths:
            raise CardError(f"{self._archive.where}: {MANIFEST_ENTRY} names no character (characters)")
        if len(paths) > 1:
            self.warnings.append(f"{self._archive.where}: {len(paths)} characters are in the archive; the first is read")
        return paths[0]

    def is_there(self, name: str) -> bool:
        if name not in self._archive:
            self.warnings.append(f"{self._archive.where}: {name[:80]} is named in the archive and is not in it; it is left aside")
        return name in self._archive


def _data(manifest: Mapping[str, Any], character: Mapping[str, Any], scenarios: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The card's ``data``. The first scenario is the card's own; of the others, what they open with becomes a greeting."""
    first = scenarios[0] if scenarios else {}
    author = manifest.get("author")
    author = author if isinstance(author, Mapping) else {}
    greetings = [_greeting(scenario) for scenario in scenarios]
    rest: dict[str, Any] = {
        "manifest": _without(manifest, _MANIFEST_PLACED),
        "character": _without(character, _CHARACTER_PLACED),
        "scenarios": [_without(each, _SCENARIO_PLACED if at else _FIRST_PLACED) for at, each in enumerate(scenarios)],
    }
    data: dict[str, Any] = {
        "name": character.get("name") or character.get("displayName"),
        "description": _own(character.get("persona")),
        "personality": "",
        "scenario": _own(first.get("narrative")),
        "first_mes": greetings[0] if greetings else "",
        "mes_example": "\n".join(f"<START>\n{_own(text)}" for text in _texts(_each(first.get("exampleMessages"), "text"))),
        "creator_notes": author.get("backyardURL", ""),
        "system_prompt": _own(first.get("formattingInstructions")),
        "post_history_instructions": "",
        "alternate_greetings": [greeting for greeting in greetings[1:] if greeting],
        "group_only_greetings": [],
        "tags": [],
        "creator": author.get("name", ""),
        "character_version": "",
        "extensions": {"byaf": rest},
    }
    if character.get("isNSFW") is True:
        data["extensions"]["troupe"] = {"age_restricted": True}
    if lore := character.get("loreItems"):
        entries = [_entry(number, item) for number, item in enumerate(lore)] if isinstance(lore, list) else lore
        data["character_book"] = {"extensions": {}, "entries": entries}
    return data


def _greeting(scenario: Mapping[str, Any]) -> object:
    texts = _each(scenario.get("firstMessages"), "text")
    return _own(texts[0]) if texts else ""


def _entry(number: int, item: object) -> dict[str, Any]:
    """A piece of lore; its key is a list with commas."""
    item = item if isinstance(item, Mapping) else {}
    key = _own(item.get("key"))
    keys = [part.strip() for part in key.split(",") if part.strip()] if isinstance(key, str) else key
    return {
        "keys": keys,
        "content": _own(item.get("value")),
        "extensions": {},
        "enabled": True,
        "insertion_order": number,
        "use_regex": False,
    }


def _own(raw: object) -> object:
    """A text with Backyard's names for the two speakers as macros of cards; what is no text is left to the card's reader."""
    if raw is None:
        return ""
    if not isinstance(raw, str):
        return raw
    return _MACRO.sub(lambda found: "{{user}}" if found.group(1).lower() == "user" else "{{char}}", raw)


def _each(raw: object, key: str) -> list[object]:
    """What stands under ``key`` in each object of a list."""
    return [item.get(key) for item in raw if isinstance(item, Mapping)] if isinstance(raw, list) else []


def _texts(raw: object) -> list[str]:
    return [item for item in raw if isinstance(item, str) and item] if isinstance(raw, list) else []


def _without(document: Mapping[str, Any], placed: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in placed}
