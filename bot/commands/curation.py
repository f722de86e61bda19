"""The queue of what was collected to learn from: an operator reads each row, and says what becomes of it.

The same queue and the same decisions as ``troupe-train curate``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.commands.desk import Caller, Desk, operators_only
from bot.errors import CommandRefused
from bot.memory.collected import COLLECTED, DECISIONS, RUNS, Verdict, write_decision
from bot.memory.rows import read_rows

KINDS = ("gold", "pairs", "kto")
SHOWN = 20  # rows at a time
NO_RUN = "No run of that name has collected anything."


@dataclass(frozen=True, slots=True)
class Lesson:
    """One reply that could be learnt from. A pair has ``rejected``, a thumb has ``liked``."""

    key: str
    why: str
    character: str
    said: str
    chosen: str
    rejected: str | None
    liked: bool | None
    before: tuple[tuple[str, str], ...]  # what was said, and what was answered
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Queue:
    waiting: int
    lessons: tuple[Lesson, ...]  # the first of those that wait


async def waiting(desk: Desk, caller: Caller, run: str) -> Queue:
    """What nobody has looked at yet. Raises ``CommandRefused``."""
    operators_only(caller, "look through what was collected")
    return await asyncio.to_thread(_waiting, desk.data, run)


async def decide(desk: Desk, caller: Caller, run: str, key: str, verdict: Verdict, text: str = "") -> Queue:
    """Approve a row, let it say something else, or drop it; what waits then. Raises ``CommandRefused``."""
    operators_only(caller, "decide what is learnt")
    said = text.strip()
    limit = desk.router.stage.settings.message_characters
    if verdict == "edit" and not said:
        raise CommandRefused("There is nothing left to learn; drop the row instead.")
    if len(said) > limit:
        raise CommandRefused(f"The text has {len(said):,} characters; the limit is {limit:,}.")
    return await asyncio.to_thread(_decide, desk.data, run, key, verdict, said if verdict == "edit" else "")


def _waiting(data: Path, run: str) -> Queue:
    decided = {row.get("key") for row in read_rows(data / DECISIONS)}
    left = [lesson for lesson in _lessons(data, run) if lesson.key not in decided]
    return Queue(len(left), tuple(left[:SHOWN]))


def _decide(data: Path, run: str, key: str, verdict: Verdict, text: str) -> Queue:
    lesson = next((one for one in _lessons(data, run) if one.key == key), None)
    if lesson is None:
        raise CommandRefused("There is no such row any more: whoever is in it may have withdrawn.")
    write_decision(data, key, verdict, text, lesson.people)
    return _waiting(data, run)


def _lessons(data: Path, run: str) -> Iterator[Lesson]:
    """Rows as they lie there; what is none of the trainer's is passed over."""
    # No path is made of a name.
    folder = next((path for path in (data / RUNS).glob("*") if path.name == run and not path.is_symlink()), None)
    if folder is None or not (folder / COLLECTED).is_dir():
        raise CommandRefused(NO_RUN)
    for kind in KINDS:
        for row in read_rows(folder / COLLECTED / f"{kind}.jsonl"):
            lesson = _lesson(row)
            if lesson is not None:
                yield lesson


def _lesson(row: dict[str, Any]) -> Lesson | None:
    words = [row.get(name) for name in ("key", "character", "said", "chosen")]
    if not all(isinstance(word, str) for word in words):
        return None
    key, character, said, chosen = map(str, words)
    rejected, liked = row.get("rejected"), row.get("label")
    return Lesson(
        key,
        str(row.get("why", "")),
        character,
        said,
        chosen,
        rejected if isinstance(rejected, str) else None,
        liked if isinstance(liked, bool) else None,
        tuple((str(pair[0]), str(pair[1])) for pair in row.get("before") or () if isinstance(pair, list) and len(pair) == 2),
        tuple(str(person) for person in row.get("people") or ()),
    )
