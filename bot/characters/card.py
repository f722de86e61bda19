"""Character cards: JSON of Character Card V1, V2 or V3, read for use and kept whole for giving back.

A :class:`Card` shows what Troupe uses; the document it came from stays beside it, so that everything we do not know
survives being imported and exported. Every other format is read next door.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bot.characters.card_json import dump_json, load_json, mended
from bot.characters.lorebook import Book, parse_book, without_decorators
from bot.characters.macros import Dialogue, example_dialogues, fill_macros
from bot.characters.names import check_name, name_warnings, tidy_name
from bot.characters.troupe_settings import TroupeSettings, parse_settings
from bot.config import CharacterSettings
from bot.errors import CardError

__all__ = [
    "TEXT_FIELDS",
    "Card",
    "Spec",
    "card_from_document",
    "fill_macros",
    "new_card",
    "parse_card",
    "to_v2",
    "to_v3",
    "with_fields",
    "write_card",
]

Spec = Literal["v1", "v2", "v3"]

GREETINGS = 100
TAGS = 500

BACKFILL_NOTE = (
    "This is a Character Card V3 that was saved a second time as V2, for programs that do not know V3. "
    "Open it with a program that reads V3 to have all of it."
)

_V1_TEXTS = ("name", "description", "personality", "scenario", "first_mes", "mes_example")
_V2_TEXTS = (*_V1_TEXTS, "creator_notes", "system_prompt", "post_history_instructions", "creator", "character_version")
TEXT_FIELDS = frozenset((*_V2_TEXTS, "nickname", "spec", "spec_version"))
_PYGMALION = {  # an older form of V1 that is still found
    "char_name": "name",
    "char_persona": "description",
    "char_greeting": "first_mes",
    "example_dialogue": "mes_example",
    "world_scenario": "scenario",
}


@dataclass(frozen=True, slots=True)
class Card:
    """A character as its card tells it. Texts still have their macros; lists that a card lacks are empty.

    ``creator_notes``, ``tags``, ``creator`` and ``character_version`` are for people and never enter a prompt.
    """

    spec: Spec
    spec_version: str
    name: str
    nickname: str
    description: str
    personality: str
    scenario: str
    first_mes: str
    alternate_greetings: tuple[str, ...]
    group_only_greetings: tuple[str, ...]
    mes_example: str
    system_prompt: str
    post_history_instructions: str
    book: Book | None
    tags: tuple[str, ...]
    creator: str
    creator_notes: str
    character_version: str
    settings: TroupeSettings
    warnings: tuple[str, ...]  # what was left aside or may surprise, as sentences
    text: str = field(repr=False)  # the document as JSON

    @property
    def char(self) -> str:
        """What ``{{char}}`` stands for."""
        return self.nickname or self.name

    @property
    def greetings(self) -> tuple[str, ...]:
        """Every way to open a chat, the card's first choice first."""
        return tuple(greeting for greeting in (self.first_mes, *self.alternate_greetings) if greeting.strip())

    @property
    def examples(self) -> tuple[Dialogue, ...]:
        """The example dialogues of ``mes_example``."""
        return example_dialogues(self.mes_example, (self.name, self.nickname))

    @property
    def icons(self) -> tuple[str, ...]:
        """Addresses of the pictures that the card names as its icon, the main one first."""
        assets = self.document().get("data", {}).get("assets") if self.spec != "v1" else None
        icons = [asset for asset in assets if isinstance(asset, dict) and asset.get("type") == "icon"] if isinstance(assets, list) else []
        icons.sort(key=lambda asset: asset.get("name") != "main")
        return tuple(uri for uri in (asset.get("uri") for asset in icons) if isinstance(uri, str))

    def document(self) -> dict[str, Any]:
        """A fresh copy of the whole document, as it was given to us."""
        document: dict[str, Any] = json.loads(self.text)
        return document


# ------------------------------------------------------------------ reading


def parse_card(data: bytes, limits: CharacterSettings, where: str = "the card") -> Card:
    """Read a card from JSON. ``where`` names it in refusals.

    Raises:
        CardError: names the card, the field and the limit.
    """
    return card_from_document(load_json(data, limits, where), limits, where)


def card_from_document(document: object, limits: CharacterSettings, where: str = "the card") -> Card:
    """Read a card from a document that is parsed already, for instance one from our own database. Raises ``CardError``."""
    if not isinstance(document, Mapping):
        raise CardError(f"{where}: is {_kind(document)}, not an object with a character in it")
    warnings: list[str] = []
    spec, version, data = _content(document, where, warnings)
    reader = _Reader(data, f"{where}: data." if spec != "v1" else f"{where}: ", warnings)
    name = tidy_name(reader.name("name"))
    check_name(name, f"{reader.where}name")
    warnings.extend(name_warnings(name, f"{reader.where}name"))
    extensions = reader.part("extensions")
    if "talkativeness" in document and "talkativeness" not in extensions:
        extensions = {**extensions, "talkativeness": document["talkativeness"]}
    settings, aside = parse_settings(extensions, f"{reader.where}extensions")
    warnings.extend(aside)
    book, aside = parse_book(data.get("character_book"), f"{reader.where}character_book", limits)
    warnings.extend(aside)
    return Card(
        spec=spec,
        spec_version=version,
        name=name,
        nickname=_nickname(reader, warnings),
        description=reader.text("description"),
        personality=reader.text("personality"),
        scenario=reader.text("scenario"),
        first_mes=reader.text("first_mes"),
        alternate_greetings=reader.texts("alternate_greetings", GREETINGS),
        group_only_greetings=reader.texts("group_only_greetings", GREETINGS),
        mes_example=reader.text("mes_example"),
        system_prompt=reader.text("system_prompt"),
        post_history_instructions=reader.text("post_history_instructions"),
        book=book,
        tags=reader.texts("tags", TAGS),
        creator=reader.text("creator"),
        creator_notes=_notes(reader, data),
        character_version=reader.text("character_version"),
        settings=settings,
        warnings=tuple(warnings),
        text=dump_json(document),
    )


def _content(document: Mapping[str, Any], where: str, warnings: list[str]) -> tuple[Spec, str, Mapping[str, Any]]:
    """Which specification the document follows, and where in it the character stands."""
    spec, data = document.get("spec"), document.get("data")
    if spec == "lorebook_v3":
        raise CardError(f"{where}: is a lorebook (spec lorebook_v3), not a character; put it into a card as data.character_book")
    if isinstance(data, Mapping):
        version = str(document.get("spec_version", ""))[:20]
        if spec == "chara_card_v2":
            _note_version(version, 2.0, where, warnings)
            return "v2", version, data
        if spec == "chara_card_v3":
            _note_version(version, 3.0, where, warnings)
            return "v3", version, data
        if isinstance(spec, str) and spec.startswith("chara_card_v"):
            warnings.append(f"{where}: spec is {spec[:40]!r}, newer than the V3 known here; it is read as V3 and kept whole")
            return "v3", version, data
        warnings.append(f"{where}: spec is {str(spec)[:40]!r}, not chara_card_v2 or chara_card_v3; it is read as V2")
        return "v2", version, data
    if "char_name" in document and "name" not in document:
        return "v1", "1.0", {_PYGMALION.get(key, key): value for key, value in document.items()}
    if "name" not in document:
        raise CardError(f"{where}: has neither data nor name, so it is no character card that is known here (V1, V2, V3)")
    return "v1", "1.0", document


def _note_version(version: str, known: float, where: str, warnings: list[str]) -> None:
    try:
        newer = float(version) > known
    except ValueError:
        warnings.append(f"{where}: spec_version is {version!r}, not a number; it is read as {known}")
        return
    if newer:
        warnings.append(f"{where}: spec_version is {version}, newer than the {known} known here; what is new in it is kept without effect")


class _Reader:
    """The fields of a card: null counts as absent, a wrong type is refused by the field's name."""

    def __init__(self, data: Mapping[str, Any], where: str, warnings: list[str]) -> None:
        self._data = data
        self._warnings = warnings
        self.where = where

    def text(self, key: str) -> str:
        return _plain(self.name(key))

    def name(self, key: str) -> str:
        """A text as it is: what is wrong in a name is refused, not repaired."""
        value = self._data.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise CardError(f"{self.where}{key} must be text, not {_kind(value)}")
        return value

    def texts(self, key: str, limit: int) -> tuple[str, ...]:
        """A list of texts; what is no text in it is left aside with a warning."""
        value = self._data.get(key)
        if value is None or value == "":
            return ()
        if not isinstance(value, list):
            self._warnings.append(f"{self.where}{key} is {_kind(value)}, not a list; it is left aside")
            return ()
        if len(value) > limit:
            raise CardError(f"{self.where}{key} has {len(value)} items; the limit is {limit}")
        strange = sum(not isinstance(item, str) for item in value)
        if strange:
            self._warnings.append(f"{self.where}{key}: {strange} items are no texts and are left aside")
        return tuple(_plain(item) for item in value if isinstance(item, str))

    def part(self, key: str) -> Mapping[str, Any]:
        value = self._data.get(key)
        if isinstance(value, Mapping):
            return value
        if value:  # an empty list is how some editors write an empty object
            self._warnings.append(f"{self.where}{key} is {_kind(value)}, not an object; it is left aside")
        return {}


def _plain(text: str) -> str:
    """Text as we can use it: one kind of line end, no NUL, no half characters."""
    return mended(text.replace("\r\n", "\n").replace("\x00", ""))


def _nickname(reader: _Reader, warnings: list[str]) -> str:
    nickname = tidy_name(reader.name("nickname"))
    if not nickname:
        return ""
    try:
        check_name(nickname, f"{reader.where}nickname")
    except CardError as error:
        warnings.append(f"{error}; the name is used instead")
        return ""
    return nickname


def _notes(reader: _Reader, data: Mapping[str, Any]) -> str:
    many = data.get("creator_notes_multilingual")
    english = many.get("en") if isinstance(many, Mapping) else None
    return _plain(english) if isinstance(english, str) else reader.text("creator_notes")


def _kind(value: object) -> str:
    names = {"str": "text", "bool": "true or false", "int": "a number", "float": "a number", "list": "a list", "dict": "an object"}
    return names.get(type(value).__name__, "null")


# ------------------------------------------------------------------ writing


def write_card(card: Card, version: Literal["v2", "v3"] = "v3") -> bytes:
    """The card as JSON for a file."""
    document = to_v3(card) if version == "v3" else to_v2(card)
    return (dump_json(document, indent=2) + "\n").encode("utf-8")


def to_v3(card: Card) -> dict[str, Any]:
    """The card as a V3 document. One that is V3 already comes back as it was; else only what V3 requires is added."""
    document = card.document()
    if card.spec == "v3":
        return document
    data = _data(card, document)
    data.setdefault("group_only_greetings", [])
    for entry in _entries(data):
        entry.setdefault("use_regex", False)
    return {**document, "spec": "chara_card_v3", "spec_version": "3.0", "data": data}


def to_v2(card: Card, *, backfill: bool = False) -> dict[str, Any]:
    """The card as a V2 document; what only V3 knows stays in it as keys that V2 programs keep.

    ``backfill``: it goes into a file beside the V3 document, so its notes say so and the lorebook's decorators,
    which a V2 program would show as text, are left out.
    """
    document = card.document()
    if document.get("spec") == "chara_card_v2" and card.spec == "v2" and not backfill:
        return document
    data = _data(card, document)
    if backfill:
        notes = data.get("creator_notes")
        data["creator_notes"] = f"{BACKFILL_NOTE}\n\n{notes}".strip() if isinstance(notes, str) else BACKFILL_NOTE
        for entry in _entries(data):
            if isinstance(entry.get("content"), str):
                entry["content"] = without_decorators(entry["content"])
    return {**document, "spec": "chara_card_v2", "spec_version": "2.0", "data": data}


def _data(card: Card, document: dict[str, Any]) -> dict[str, Any]:
    """The document's ``data`` with every field that V2 requires; made from the flat fields of a V1 card."""
    data: dict[str, Any]
    if card.spec == "v1":
        flat = {_PYGMALION.get(key, key): value for key, value in document.items()} if "name" not in document else document
        data = {key: flat[key] for key in (*_V2_TEXTS, "alternate_greetings", "tags", "character_book", "extensions") if key in flat}
        if "talkativeness" in document and isinstance(data.get("extensions", {}), dict):
            data["extensions"] = {"talkativeness": document["talkativeness"], **data.get("extensions", {})}
    else:
        data = document["data"]
    for key in _V2_TEXTS:
        if data.get(key) is None:
            data[key] = ""
    for key in ("alternate_greetings", "tags"):
        if data.get(key) is None:
            data[key] = []
    if data.get("extensions") is None:
        data["extensions"] = {}
    return data


def _entries(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    book = data.get("character_book")
    entries = book.get("entries") if isinstance(book, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


# ------------------------------------------------------------------ making and changing


def new_card(name: str, limits: CharacterSettings, **fields: Any) -> Card:
    """A V3 card from scratch; ``fields`` are those of ``data``. Raises ``CardError``."""
    data: dict[str, Any] = {**dict.fromkeys(_V2_TEXTS, ""), "name": name}
    data |= {"alternate_greetings": [], "group_only_greetings": [], "tags": [], "extensions": {}} | fields
    return card_from_document({"spec": "chara_card_v3", "spec_version": "3.0", "data": data}, limits, name[:80] or "the card")


def with_fields(card: Card, limits: CharacterSettings, **fields: Any) -> Card:
    """The card with some fields of ``data`` changed, as V3. Raises ``CardError``.

    Older programs repeat the V1 fields at the top of a document; those copies change along.
    """
    document = to_v3(card)
    document["data"] = {**document["data"], **fields}
    document |= {key: value for key, value in fields.items() if key in _V1_TEXTS and key in document}
    return card_from_document(document, limits, card.name)
