"""What people did about a reply besides rating it: a moderator changed it, took it away, or somebody reported it.

Kept with the reply itself, and so with its stamp: which build, revision and exemplars it was made by.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import select

from bot.memory import schema
from bot.memory.part import Part

SignalKind = Literal["edit", "hide", "report", "choose"]

_signals = schema.signals


@dataclass(frozen=True, slots=True)
class Signal:
    reply_id: int  # the very take that was shown
    person_id: str  # who did it
    kind: SignalKind
    at: datetime


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
