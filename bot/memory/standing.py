"""How characters stand with people: how often they were talked to, how they were rated, and whom a person talked to last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Text, distinct, func, select, type_coerce

from bot.memory import schema
from bot.memory.part import Part
from bot.messages import ChannelKey

_replies, _turns, _ratings = schema.replies, schema.turns, schema.ratings


@dataclass(frozen=True, slots=True)
class Standing:
    """One character's numbers. They name nobody."""

    replies: int = 0  # finished ones; takes of one reply count once
    people: int = 0  # who were answered
    ratings: int = 0
    stars: float = 0.0  # the mean, from 1 to 5; 0 where nobody rated


@dataclass(frozen=True, slots=True)
class LastTalk:
    character_id: str
    channel: ChannelKey
    at: datetime


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside a reply for one person."""

    takes: int  # finished ones
    take: int  # which of them is shown, from 0
    rating: int | None  # that person's, of the take that is shown


class Standings(Part):
    async def beside(self, turn_ids: Sequence[int], person_id: str) -> dict[int, Beside]:
        """By turn id; turns that are nobody's reply are not in it."""
        shown = (
            select(_replies.c.id, _replies.c.turn_id, _replies.c.chosen)
            .where(_replies.c.turn_id.in_(list(turn_ids)), _replies.c.state.in_(("final", "recorded")), _replies.c.text != "")
            .order_by(_replies.c.take)
        )

        def work(connection: Connection) -> dict[int, Beside]:
            rows = connection.execute(shown).all()
            own = (_ratings.c.person_id == person_id) & _ratings.c.reply_id.in_([row.id for row in rows])
            rated = {row.reply_id: row.value for row in connection.execute(select(_ratings).where(own))}
            takes: dict[int, list[Any]] = {}
            for row in rows:
                takes.setdefault(row.turn_id, []).append(row)
            found = {}
            for turn_id, of_turn in takes.items():
                at = next((i for i, row in enumerate(of_turn) if row.chosen), len(of_turn) - 1)
                found[turn_id] = Beside(len(of_turn), at, rated.get(of_turn[at].id))
            return found

        return await self._database.read(work)

    async def standings(self) -> dict[str, Standing]:
        """By character id; who was never talked to is not in it. Reads every reply: for a list, not for each turn."""
        talked = (
            select(
                _replies.c.character_id,
                func.count(distinct(_replies.c.turn_id)).label("replies"),
                func.count(distinct(_turns.c.author_id)).label("people"),
            )
            .join(_turns, _turns.c.id == _replies.c.cause_id)
            .where(_replies.c.turn_id.is_not(None))
            .group_by(_replies.c.character_id)
        )
        rated = (
            select(_replies.c.character_id, func.count().label("ratings"), func.avg(_ratings.c.value).label("stars"))
            .join(_replies, _replies.c.id == _ratings.c.reply_id)
            .group_by(_replies.c.character_id)
        )

        def work(connection: Connection) -> dict[str, Standing]:
            stars = {row.character_id: (row.ratings, float(row.stars)) for row in connection.execute(rated)}
            return {
                row.character_id: Standing(row.replies, row.people, *stars.get(row.character_id, (0, 0.0)))
                for row in connection.execute(talked)
            }

        return await self._database.read(work)

    async def last_talks(self, person_id: str, platform: str, limit: int = 12) -> list[LastTalk]:
        """Whom a person talked to on a platform, and where last; the newest first, every character once."""
        newest = func.max(_replies.c.id)
        wanted = (
            select(_replies.c.character_id, _replies.c.channel, func.max(_replies.c.updated_at).label("at"))
            .join(_turns, _turns.c.id == _replies.c.cause_id)
            .where(
                _turns.c.author_id == person_id,
                _replies.c.turn_id.is_not(None),
                type_coerce(_replies.c.channel, Text).startswith(f"{platform}:", autoescape=True),
            )
            .group_by(_replies.c.character_id, _replies.c.channel)
            .order_by(newest.desc())
            .limit(limit * 4)
        )
        rows = await self._database.read(lambda c: c.execute(wanted).all())
        talks: dict[str, LastTalk] = {}
        for row in rows:
            talks.setdefault(row.character_id, LastTalk(row.character_id, row.channel, row.at))
        return list(talks.values())[:limit]
