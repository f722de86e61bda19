"""What is settled for one place: who is awake there, where it plays, how it is set up, how far it was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Text, bindparam, select, type_coerce

from bot.memory import schema
from bot.memory.part import Part
from bot.messages import ChannelKey

_channels = schema.channels
_OF = {column.name: select(column).where(_channels.c.channel == bindparam("here")) for column in _channels.c}  # four of them a turn


class Channels(Part):
    async def awake(self, channel: ChannelKey) -> tuple[str, ...] | None:
        """Ids of the characters that are there, in the order in which they came. None: nobody has chosen here yet."""
        ids = await self._of(channel, "awake")
        return None if ids is None else tuple(ids)

    async def set_awake(self, channel: ChannelKey, character_ids: Sequence[str]) -> None:
        await self._change(channel, awake=list(character_ids))

    async def place(self, channel: ChannelKey) -> str:
        """Where the conversation plays, as somebody described it; "" when nobody has."""
        return await self._of(channel, "place") or ""

    async def set_place(self, channel: ChannelKey, text: str) -> None:
        await self._change(channel, place=text)

    async def channel_settings(self, channel: ChannelKey) -> dict[str, Any]:
        """What was set for this channel alone; {} when nothing was."""
        return dict(await self._of(channel, "settings") or {})

    async def change_channel_settings(self, channel: ChannelKey, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Set some; a value of None takes the setting away. Returns all of them."""

        def work(connection: Connection) -> dict[str, Any]:
            old = connection.execute(select(_channels.c.settings).where(_channels.c.channel == channel)).scalar_one_or_none() or {}
            new = {key: value for key, value in {**old, **changes}.items() if value is not None}
            self._store_row(connection, channel, settings=new)
            return new

        return await self._database.write(work)

    async def last_seen(self, channel: ChannelKey) -> str | None:
        """The platform's id of the newest message that was read here."""
        seen: str | None = await self._of(channel, "last_seen")
        return seen

    async def set_last_seen(self, channel: ChannelKey, message_id: str) -> None:
        await self._change(channel, last_seen=message_id)

    async def channels_read(self, platform: str, *, within: ChannelKey | None = None) -> list[ChannelKey]:
        """Channels in which messages were read; only the threads of a channel, or the channels of a server, with ``within``."""
        beginning = f"{platform}:" if within is None else f"{within}/"
        wanted = select(_channels.c.channel).where(
            _channels.c.last_seen.is_not(None), type_coerce(_channels.c.channel, Text).startswith(beginning, autoescape=True)
        )
        return await self._database.read(lambda c: list(c.execute(wanted.order_by(_channels.c.channel)).scalars()))

    async def scopes(self, platform: str) -> list[ChannelKey]:
        """The servers or chats of a platform of which anything is settled."""
        wanted = select(_channels.c.channel).where(type_coerce(_channels.c.channel, Text).startswith(f"{platform}:", autoescape=True))
        keys = await self._database.read(lambda c: list(c.execute(wanted).scalars()))
        return [ChannelKey.parse(scope) for scope in sorted({key.scope for key in keys})]

    async def _of(self, channel: ChannelKey, column: str) -> Any:
        return await self._database.read(lambda c: c.execute(_OF[column], {"here": channel}).scalar_one_or_none())

    async def _change(self, channel: ChannelKey, **values: Any) -> None:
        await self._database.write(lambda c: self._store_row(c, channel, **values))

    def _store_row(self, connection: Connection, channel: ChannelKey, **values: Any) -> None:
        untouched: dict[str, Any] = {"place": "", "settings": {}}
        connection.execute(
            self._database.insert(_channels)
            .values(channel=channel, **{**untouched, **values})
            .on_conflict_do_update(index_elements=["channel"], set_=values)
        )
