"""What goes by itself: turns older than they may be, and places that have removed us."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Text, delete, or_, select, type_coerce

from bot.memory import schema
from bot.memory.part import Part
from bot.messages import ChannelKey

LEFT_AT = "left_at"  # setting of a server or chat, set by its connector: when we were removed from it
_AT_ONCE = 500  # turns in one transaction: somebody's message waits no longer than that takes

_turns, _channels = schema.turns, schema.channels


class Retention(Part):
    async def forget_before(self, moment: datetime) -> int:
        """Delete what was said before ``moment``, and recaps made before it; returns how many turns went.

        Replies, takes, ratings and presence go with what they answer. What characters were told to remember stays: somebody
        asked for it. Done in parts, so that others can write between them.
        """
        gone = 0
        old = select(_turns.c.id).where(_turns.c.sent_at < moment).order_by(_turns.c.id).limit(_AT_ONCE)

        def part(connection: Connection) -> int:
            return connection.execute(delete(_turns).where(_turns.c.id.in_(list(connection.execute(old).scalars())))).rowcount

        while went := await self._database.write(part):
            gone += went
        recaps = delete(schema.recaps).where(schema.recaps.c.created_at < moment)
        await self._database.write(lambda c: c.execute(recaps))
        return gone

    async def left_before(self, moment: datetime) -> list[ChannelKey]:
        """Servers and chats that removed us before ``moment`` and have not invited us since."""
        rows = await self._database.read(lambda c: c.execute(select(_channels.c.channel, _channels.c.settings)).all())
        return [row.channel for row in rows if _left(row.settings) and datetime.fromisoformat(row.settings[LEFT_AT]) < moment]

    async def forget_place(self, place: ChannelKey) -> int:
        """Delete everything of a server or chat and the channels in it: turns, facts, settings, registered characters.

        Who is blocked there stays blocked. Returns how many turns went.
        """

        def work(connection: Connection) -> int:
            for table in (schema.recaps, schema.facts, schema.views, schema.channels):
                connection.execute(delete(table).where(within(table.c.channel, place)))
            went = connection.execute(delete(_turns).where(within(_turns.c.channel, place))).rowcount
            for table in (schema.characters, schema.likenesses):
                connection.execute(delete(table).where(table.c.scope == str(place)))
            return went

        return await self._database.write(work)

    async def expire(self, seconds: float) -> dict[ChannelKey, int]:
        """Set what was sent longer ago and is not answered yet to ``stale``; how many turns that were, by channel.

        Where a part of an answer is on the screen already, it is completed instead.
        """
        replies = schema.replies
        shown = select(replies.c.id).where(replies.c.cause_id == _turns.c.id, replies.c.state.in_(("opened", "final"))).exists()

        def work(connection: Connection) -> dict[ChannelKey, int]:
            old = (_turns.c.state == "heard") & (_turns.c.sent_at < self._now() - timedelta(seconds=seconds)) & ~shown
            changed = connection.execute(_turns.update().where(old).values(state="stale").returning(_turns.c.id, _turns.c.channel)).all()
            _give_up(connection, (row.id for row in changed), self._now())
            counted: dict[ChannelKey, int] = {}
            for row in changed:
                counted[row.channel] = counted.get(row.channel, 0) + 1
            return counted

        return await self._database.write(work)

    async def set_aside(self, turn_ids: Iterable[int], reason: str) -> None:
        """These turns will not be tried again, and what was begun of an answer neither."""
        ids = list(turn_ids)

        def work(connection: Connection) -> None:
            connection.execute(_turns.update().where(_turns.c.id.in_(ids)).values(state="failed"))
            unfinished = schema.replies.c.state.in_(("claimed", "opened", "final"))
            given_up = schema.replies.update().where(schema.replies.c.cause_id.in_(ids), unfinished)
            connection.execute(given_up.values(state="failed", reason=reason, updated_at=self._now()))

        await self._database.write(work)


def _give_up(connection: Connection, turn_ids: Iterable[int], now: datetime) -> None:
    replies = schema.replies
    claimed = replies.update().where(replies.c.cause_id.in_(list(turn_ids)), replies.c.state == "claimed")
    connection.execute(claimed.values(state="failed", reason="too old to be answered", updated_at=now))


def _left(settings: dict[str, Any] | None) -> bool:
    return isinstance((settings or {}).get(LEFT_AT), str)


def within(column: Any, place: ChannelKey) -> Any:
    """Of this place, or of a channel in it."""
    return or_(column == place, type_coerce(column, Text).startswith(f"{place}/", autoescape=True))
