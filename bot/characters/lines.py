"""Exemplar lines: what a character answered, kept as examples of its voice.

A character's ``lines.jsonl`` is read here; the ``held_out.jsonl`` beside it is for evaluation alone and is never read by the bot.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.characters.card_json import mended
from bot.config import CharacterSettings
from bot.errors import CardError

LINES_FILE = "lines.jsonl"
EMOTIONS = frozenset({"anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral", "dejected", "excited", "other"})
TEXT_CHARACTERS = 4000  # longer than any message of a platform


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One exchange: somebody said something and the character replied."""

    id: str
    with_name: str | None  # who spoke before; None: an unnamed visitor
    said: str
    reply: str
    emotion: str | None
    scene: str | None
    source: str  # where it comes from: "original", a file, a consented conversation

    def record(self) -> dict[str, Any]:
        """The exchange as one object of ``lines.jsonl``."""
        return {
            "id": self.id,
            "with": self.with_name,
            "said": self.said,
            "reply": self.reply,
            "emotion": self.emotion,
            "scene": self.scene,
            "source": self.source,
        }


def read_lines(path: Path, limits: CharacterSettings) -> tuple[Exemplar, ...]:
    """All exchanges of a file; a file that does not exist holds none.

    Raises:
        CardError: names file, line number and field.
    """
    try:
        size = path.stat().st_size
        if size > limits.lines_bytes:
            raise CardError(f"{path}: has {size:,} bytes; a file of lines has at most {limits.lines_bytes:,}")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError as error:
        raise CardError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except OSError as error:
        raise CardError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_lines(text, str(path), limits)


def parse_lines(text: str, where: str, limits: CharacterSettings) -> tuple[Exemplar, ...]:
    """The exchanges of a JSONL text; blank lines do not count. Raises ``CardError`` as :func:`read_lines`."""
    numbered = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return lines_from_records(((f"{where}:{number}", _object(line, f"{where}:{number}")) for number, line in numbered), where, limits)


def lines_from_records(records: Iterable[tuple[str, Mapping[str, Any]]], where: str, limits: CharacterSettings) -> tuple[Exemplar, ...]:
    """Check records that are objects already; each comes with the words that say where it stands."""
    exemplars: list[Exemplar] = []
    places: dict[str, str] = {}
    for place, record in records:
        exemplar = exemplar_from_record(record, place)
        if exemplar.id in places:
            raise CardError(f"{place}: id {exemplar.id!r} stands already at {places[exemplar.id]}; every line has its own")
        places[exemplar.id] = place
        exemplars.append(exemplar)
        if len(exemplars) > limits.lines:
            raise CardError(f"{where}: has more than {limits.lines} lines, which is the limit (characters.lines)")
    return tuple(exemplars)


def exemplar_from_record(record: Mapping[str, Any], where: str) -> Exemplar:
    """One checked exchange. Keys that are not known are left aside."""
    return Exemplar(
        id=_text(record, "id", where),
        with_name=_optional_text(record, "with", where),
        said=_text(record, "said", where),
        reply=_text(record, "reply", where),
        emotion=_emotion(record, where),
        scene=_optional_text(record, "scene", where),
        source=_optional_text(record, "source", where) or "unknown",
    )


def _object(line: str, where: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CardError(f"{where}: is not a JSON object on one line: {error}") from error
    if not isinstance(record, dict):
        raise CardError(f"{where}: is {type(record).__name__}, not a JSON object")
    return record


def _text(record: Mapping[str, Any], field: str, where: str) -> str:
    value = record.get(field)
    if not isinstance(value, str) or not value.strip():
        raise CardError(f"{where}: {field} must be text and not empty, and is {value!r:.60}")
    if len(value) > TEXT_CHARACTERS:
        raise CardError(f"{where}: {field} has {len(value)} characters; the limit is {TEXT_CHARACTERS}")
    return mended(value)


def _optional_text(record: Mapping[str, Any], field: str, where: str) -> str | None:
    return None if record.get(field) is None else _text(record, field, where)


def _emotion(record: Mapping[str, Any], where: str) -> str | None:
    emotion = record.get("emotion")
    if emotion is None or (isinstance(emotion, str) and emotion in EMOTIONS):
        return emotion
    raise CardError(f"{where}: emotion is {emotion!r:.60}; it is null or one of {', '.join(sorted(EMOTIONS))}")
