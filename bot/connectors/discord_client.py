"""One connection to Discord: discord.py's client, its events handed to whom they concern.

It lives until the library gives up; ``discord_chat`` then makes another one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from bot.commands.desk import Desk
from bot.config import DiscordSettings
from bot.connectors.discord_border import UNREACHABLE, key_of
from bot.connectors.discord_hearing import Hearing
from bot.connectors.discord_port import DiscordPort, Door
from bot.connectors.discord_presence import Presence
from bot.errors import BotError, StoreError
from bot.messages import ChannelKey

if TYPE_CHECKING:
    from yarl import URL

log = logging.getLogger(__name__)

# Who is there and what is said. Message content is a privileged intent: the portal must allow it.
INTENTS = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=True)
# Beyond what the library waits for by itself, a call is refused: sessions know how to wait and how to go on.
LONGEST_WAIT_SECONDS = 60.0


class DiscordClient(discord.AutoShardedClient):
    """Nothing is kept in the library's caches but servers and channels: what was said is in our own memory."""

    def __init__(self, settings: DiscordSettings, desk: Desk, door: Door) -> None:
        shards: dict[str, Any] = {"shard_count": settings.shard_count or None}
        if settings.shard_ids:
            shards["shard_ids"] = list(settings.shard_ids)
        super().__init__(
            intents=INTENTS,
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            allowed_mentions=discord.AllowedMentions.none(),
            max_ratelimit_timeout=LONGEST_WAIT_SECONDS,
            **shards,
        )
        self._settings, self._door = settings, door
        self.desk = desk
        self.presence = Presence(self)
        self.hearing = Hearing(self, desk, settings)
        self.tree = app_commands.CommandTree(self)
        self.greeted = asyncio.Event()  # Discord has said who we are and which servers we are in
        self.operators: set[int] = set(settings.operators)
        self.moderator_roles = frozenset(str(role) for role in settings.moderator_roles)
        self._launching: set[int] = set()

    @property
    def client(self) -> discord.Client:
        return self

    def port(self, key: ChannelKey, answering: discord.Message | None = None) -> DiscordPort:
        return DiscordPort(self._door, key, self._settings, answering)

    async def setup_hook(self) -> None:
        application = self.application
        if application is not None:
            team = application.team.members if application.team is not None else []
            self.operators |= {application.owner.id, *(member.id for member in team)}

    async def launch_shard(self, gateway: URL, shard_id: int, *, initial: bool = False) -> None:
        """As the library does, but a connection that cannot be made ends this client.

        The library tries again by calling itself, one frame deeper each time, until the stack is full.
        """
        if shard_id in self._launching:
            raise ConnectionError(f"shard {shard_id} could not connect")
        self._launching.add(shard_id)
        try:
            await super().launch_shard(gateway, shard_id, initial=initial)
        finally:
            self._launching.discard(shard_id)

    # ------------------------------------------------------------------ the session with Discord

    async def on_connect(self) -> None:
        """READY has come: a new session, so nothing says what happened before it. Runs before the first message is heard."""
        self.hearing.away()

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """Once every server is there, nobody needs to wait for ``on_ready``, which comes two seconds later."""
        every_shard = len(self.shards) >= len(self.shard_ids or range(self.shard_count or 1))
        if not self.greeted.is_set() and every_shard and not any(g.unavailable for g in self.guilds):
            self.greeted.set()
        await self._heard(self.hearing.there(guild.id), "presence in a server")

    async def on_ready(self) -> None:
        """Comes again after each new session."""
        self.greeted.set()
        log.info("discord is ready servers=%d shards=%s", len(self.guilds), self.shard_count)
        held = [number for number, shard in self.shards.items() if not shard.is_closed()]
        named = {guild.id for guild in self.guilds}
        await self._heard(self.hearing.missing(named, held, self.shard_count or 1), "list of servers")
        await self._heard(self.hearing.catch_up(), "missed messages")

    # ------------------------------------------------------------------ messages

    async def on_message(self, message: discord.Message) -> None:
        await self._heard(self.hearing.message(message), "message")

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        await self._heard(self.hearing.edited(event), "edit")

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        await self._heard(self.hearing.deleted(event.guild_id, event.channel_id, [event.message_id]), "deletion")

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        await self._heard(self.hearing.deleted(event.guild_id, event.channel_id, event.message_ids), "deletion")

    # ------------------------------------------------------------------ places

    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        await self._gone(channel)

    async def on_raw_thread_delete(self, event: discord.RawThreadDeleteEvent) -> None:
        key = ChannelKey("discord", f"{event.guild_id}/{event.parent_id}/{event.thread_id}")
        await self._heard(self.hearing.channel_deleted(key), "deleted thread")

    async def on_guild_channel_update(self, before: discord.abc.GuildChannel, after: discord.abc.GuildChannel) -> None:
        await self._heard(self.hearing.keep_marks(after), "changed channel")

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        await self._heard(self.hearing.left(guild.id), "removal from a server")

    async def on_guild_join(self, guild: discord.Guild) -> None:
        await self._heard(self.hearing.there(guild.id), "invitation")

    async def _gone(self, channel: discord.abc.GuildChannel) -> None:
        key = key_of(channel)
        if key is not None:
            await self._heard(self.hearing.channel_deleted(key), "deleted channel")

    async def _heard(self, work: Awaitable[None], what: str) -> None:
        """The border of an event: what goes wrong with one is logged, and the next is heard."""
        try:
            await work
        except StoreError as error:
            log.error("%s could not be stored: %s", what, error)  # noqa: TRY400  a sentence, not a trace
        except BotError as error:
            log.warning("%s failed error=%s: %s", what, type(error).__name__, error)
        except (discord.DiscordException, *UNREACHABLE) as error:
            log.warning("%s failed, Discord refused error=%s: %s", what, type(error).__name__, error)

    async def on_error(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """A bug of ours. The library would print it; it belongs in the log, without what people said."""
        log.exception("discord event crashed event=%s", event)
