"""Who is not heard, where, and until when. These rows outlive a forgetting: they are about the place, not the person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import delete, select

from bot.memory import schema
from bot.memory.part import Part

BlockKind = Literal["user", "role", "channel"]

_blocks = schema.blocks


@dataclass(frozen=True, slots=True)
class Block:
    scope: str
    kind: BlockKind
    subject: str  # a person's id, a role's, or a channel's key
    until: datetime | None  # None: until somebody lifts it
    reason: str
    blocked_by: str  # a person's id; "" when that person was forgotten
    at: datetime


class Blocks(Part):
    async def blocks(self, scope: str | None = None) -> list[Block]:
        """Those that hold now (in one scope), the oldest first."""
        holds = _blocks.c.until.is_(None) | (_blocks.c.until > self._now())
        wanted = select(_blocks).where(holds).order_by(_blocks.c.at)
        if scope is not None:
            wanted = wanted.where(_blocks.c.scope == scope)
        rows = await self._database.read(lambda c: c.execute(wanted).all())
        return [Block(row.scope, row.kind, row.subject, row.until, row.reason, row.blocked_by, row.at) for row in rows]

    async def block(self, scope: str, kind: BlockKind, subject: str, *, until: datetime | None, reason: str, by: str) -> Block:
        """In place of an earlier one of the same subject."""
        assert kind in get_args(BlockKind), f"{kind!r} is nothing that can be blocked"
        now = self._now()
        values = {"until": until, "reason": reason, "blocked_by": by, "at": now}
        statement = (
            self._database.insert(_blocks)
            .values(scope=scope, kind=kind, subject=subject, **values)
            .on_conflict_do_update(index_elements=["scope", "kind", "subject"], set_=values)
        )
        await self._database.write(lambda c: c.execute(statement))
        return Block(scope, kind, subject, until, reason, by, now)

    async def unblock(self, scope: str, kind: BlockKind, subject: str) -> bool:
        """False: there was no such block."""
        here = (_blocks.c.scope == scope) & (_blocks.c.kind == kind) & (_blocks.c.subject == subject)
        return await self._database.write(lambda c: c.execute(delete(_blocks).where(here)).rowcount > 0)
