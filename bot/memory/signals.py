"""What people did about a reply besides rating it: a moderator changed it, took it away, or somebody reported it.

A report is open until the reply is hidden, or a moderator has settled it.

Kept with the reply itself, and so with its stamp: which build, revision and exemplars it was made by.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import func, select

from bot.memory import schema
from bot.memory.part import Part
from bot.messages import ChannelKey

SignalKind = Literal["edit", "hide", "report", "choose", "settle"]

_signals, _replies, _turns = schema.signals, schema.replies, schema.turns


@dataclass(frozen=True, slots=True)
class Signal:
    reply_id: int  # the very take that was shown
    person_id: str  # who did it
    kind: SignalKind
    at: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """A reply that somebody reported, as it stands in the conversation. It does not say who."""

    reply_id: int
    channel: ChannelKey
    message_id: str
    character: str
    text: str
    build: str
    revision: str
    people: int
    at: datetime  # of the first


class Signals(Part):
    async def signal(self, reply_id: int, person_id: str, kind: SignalKind) -> None:
        assert kind in get_args(SignalKind), f"{kind!r} is no signal"
        given = {"reply_id": reply_id, "person_id": person_id, "kind": kind, "at": self._now()}
        await self._database.write(lambda c: c.execute(_signals.insert().values(given)))

    async def signals(self, reply_id: int) -> list[Signal]:
        """The oldest first."""
        wanted = select(_signals).where(_signals.c.reply_id == reply_id).order_by(_signals.c.id)
        rows = await self._database.read(lambda c: c.execute(wanted).all())
        return [Signal(row.reply_id, row.person_id, row.kind, row.at) for row in rows]

    async def reports(self) -> list[Report]:
        """Those that are open, the newest first."""
        settled = select(_signals.c.reply_id).where(_signals.c.kind == "settle")
        reported = (
            select(_signals.c.reply_id, func.count(_signals.c.person_id.distinct()).label("people"), func.min(_signals.c.at).label("at"))
            .where(_signals.c.kind == "report", _signals.c.reply_id.not_in(settled))
            .group_by(_signals.c.reply_id)
            .subquery()
        )
        wanted = (
            select(_replies, _turns.c.text.label("said"), _turns.c.message_id, reported.c.people, reported.c.at)
            .join(reported, reported.c.reply_id == _replies.c.id)
            .join(_turns, _turns.c.id == _replies.c.turn_id)
            .where(_turns.c.hidden.is_(False))
            .order_by(_replies.c.id.desc())
        )
        rows = await self._database.read(lambda c: c.execute(wanted).all())
        return [
            Report(
                reply_id=row.id,
                channel=row.channel,
                message_id=row.message_id,
                character=row.character_name,
                text=row.said,
                build=(row.stamp or {}).get("build", ""),
                revision=(row.stamp or {}).get("revision", ""),
                people=row.people,
                at=row.at,
            )
            for row in rows
        ]
