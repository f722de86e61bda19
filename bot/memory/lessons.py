"""What could be learnt from: replies with all their takes, what people thought of them, and who has agreed to what when.

Only reads, and decides nothing: who has agreed is data here, and the trainer refuses what has no receipt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from bot.memory import schema
from bot.memory.part import Part
from bot.memory.turns import turn_of
from bot.messages import ChannelKey, Turn

_turns, _replies = schema.turns, schema.replies
_DONE = ("final", "recorded")


@dataclass(frozen=True, slots=True)
class Receipt:
    """An agreement that holds: who, when, where, and to which wording."""

    id: int
    person_id: str
    at: datetime
    channel: ChannelKey | None
    wording: str


@dataclass(frozen=True, slots=True)
class Take:
    """One finished take of a reply."""

    id: int
    text: str
    chosen: bool
    build: str
    revision: str
    ratings: tuple[tuple[str, int], ...]  # person, 1 to 5
    signals: tuple[tuple[str, str], ...]  # person, kind


@dataclass(frozen=True, slots=True)
class Lesson:
    """One reply of a character: what it answered, and everything that it said instead."""

    cause: Turn
    heard_at: datetime  # when the cause was stored: an agreement counts from then on
    character_id: str
    character_name: str
    takes: tuple[Take, ...]
    shown: str  # what stands in the conversation now; a moderator may have changed it
    edited: bool
    hidden: bool


class Lessons(Part):
    async def lessons(self) -> list[Lesson]:
        """Every finished reply whose words and cause are still kept, in the order of the conversation."""
        return await self._database.read(lambda connection: list(_read(connection)))

    async def receipts(self) -> dict[str, list[Receipt]]:
        """By person, the agreement to training that holds now. Whoever withdrew, or never agreed, is not in it.

        Several, oldest first, where somebody agreed anew without having withdrawn: the first of them counts from its moment on.
        """
        consents = schema.consents
        wanted = select(consents).where(consents.c.kind == "train").order_by(consents.c.id)

        def work(connection: Connection) -> dict[str, list[Receipt]]:
            held: dict[str, list[Receipt]] = {}
            for row in connection.execute(wanted):
                if not row.granted:
                    held.pop(row.person_id, None)
                    continue
                held.setdefault(row.person_id, []).append(Receipt(row.id, row.person_id, row.at, row.channel, row.wording))
            return held

        return await self._database.read(work)

    async def preferences_since(self, moment: datetime) -> int:
        """How much people who agree to training have chosen, changed and rated since then."""
        agreed = list(await self.receipts())
        signals, ratings = schema.signals, schema.ratings
        done = select(func.count()).where(
            signals.c.at > moment, signals.c.kind.in_(("edit", "choose")), signals.c.person_id.in_(agreed)
        )  # fmt: skip
        rated = select(func.count()).where(ratings.c.at > moment, ratings.c.person_id.in_(agreed))

        def work(connection: Connection) -> int:
            return int(connection.execute(done).scalar_one()) + int(connection.execute(rated).scalar_one())

        return await self._database.read(work)

    async def names_in(self) -> dict[ChannelKey, dict[str, str]]:
        """Who has spoken where, under which names: channel -> person -> the last name. For masking bystanders."""
        wanted = select(_turns.c.channel, _turns.c.author_id, _turns.c.author_name).where(_turns.c.by_character.is_(False))

        def work(connection: Connection) -> dict[ChannelKey, dict[str, str]]:
            found: dict[ChannelKey, dict[str, str]] = defaultdict(dict)
            for row in connection.execute(wanted.order_by(_turns.c.id)):
                found[row.channel][row.author_id] = row.author_name
            return dict(found)

        return await self._database.read(work)


def _read(connection: Connection) -> Iterator[Lesson]:
    ratings: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for row in connection.execute(select(schema.ratings)):
        ratings[row.reply_id].append((row.person_id, row.value))
    signals: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for row in connection.execute(select(schema.signals).order_by(schema.signals.c.id)):
        signals[row.reply_id].append((row.person_id, row.kind))
    takes: dict[tuple[int, int], list[Row[Any]]] = defaultdict(list)
    done = select(_replies).where(_replies.c.state.in_(_DONE), _replies.c.turn_id.is_not(None))
    for row in connection.execute(done.order_by(_replies.c.cause_id, _replies.c.position, _replies.c.take)):
        takes[row.cause_id, row.position].append(row)
    known = {row.id: row for row in connection.execute(select(_turns))}
    for (cause_id, _), rows in takes.items():
        cause, said = known.get(cause_id), known.get(rows[0].turn_id)
        if cause is None or said is None or cause.by_character:
            continue
        yield Lesson(
            cause=turn_of(cause),
            heard_at=cause.stored_at,
            character_id=rows[0].character_id,
            character_name=rows[0].character_name,
            takes=tuple(_take(row, ratings[row.id], signals[row.id]) for row in rows),
            shown=said.text,
            edited=said.edited_at is not None,
            hidden=cause.hidden or said.hidden,
        )


def _take(row: Row[Any], ratings: Sequence[tuple[str, int]], signals: Sequence[tuple[str, str]]) -> Take:
    stamp = row.stamp or {}
    return Take(row.id, row.text, row.chosen, stamp.get("build", ""), stamp.get("revision", ""), tuple(ratings), tuple(signals))
