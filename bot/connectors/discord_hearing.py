"""What happens in Discord's channels, as the house hears it: messages, edits, deletions, and what was missed while away.

Messages of one channel are heard one after another, also when they come faster than they can be stored. Whoever comes
back after a pause is first told what was missed, so that the order of a conversation is kept.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Container, Iterable
from datetime import UTC, datetime
from typing import Protocol
from weakref import WeakValueDictionary

import discord

from bot.commands.admin import note_adults
from bot.commands.desk import Desk
from bot.config import DiscordSettings
from bot.connectors.discord_border import UNREACHABLE, Place, channel_id_of, channel_key, key_of, person_of
from bot.connectors.discord_port import DiscordPort
from bot.connectors.discord_presence import Presence
from bot.errors import CommandRefused
from bot.memory.retention import LEFT_AT
from bot.messages import Attachment, ChannelKey, Incoming
from bot.sessions.casting import is_out_of_character, named_in

log = logging.getLogger(__name__)

HEARD_TYPES = (discord.MessageType.default, discord.MessageType.reply)
NOBODY_HERE = "Nobody of the company is here yet. `/character list` shows who there is, `/character wake` brings somebody in."
TOLD_AGAIN_SECONDS = 30.0
ERASED_AT_ONCE = 500
CATCHING_UP = 4  # channels whose missed messages are read at the same time


class Line(Protocol):
    """What hearing needs of the connection."""

    @property
    def client(self) -> discord.Client: ...

    @property
    def presence(self) -> Presence: ...

    def port(self, key: ChannelKey, answering: discord.Message | None = None) -> DiscordPort: ...


class Hearing:
    """One per connection."""

    def __init__(self, line: Line, desk: Desk, settings: DiscordSettings) -> None:
        self._line, self._desk, self._settings = line, desk, settings
        self._turns: WeakValueDictionary[ChannelKey, asyncio.Lock] = WeakValueDictionary()
        self._caught_up: set[ChannelKey] = set()
        self._adults: dict[ChannelKey, bool] = {}  # as it is stored
        self._told_nobody: dict[ChannelKey, float] = {}

    # ------------------------------------------------------------------ messages

    async def message(self, message: discord.Message) -> None:
        """Somebody has written."""
        key = key_of(message.channel)
        if key is None or not self._concerns(message):
            return
        self._line.presence.heard(message.channel.id, message.id)
        async with self._turn(key):
            await self._catch_up(key)
            await self._hear(key, message)

    def _concerns(self, message: discord.Message) -> bool:
        """People only. Bots and webhooks, our own first of all, are known by their ids and never heard."""
        if message.author.bot or message.webhook_id is not None or message.type not in HEARD_TYPES:
            return False
        return self.takes_part(message.guild.id if message.guild is not None else None)

    def takes_part(self, guild_id: int | None) -> bool:
        return guild_id is None or not self._settings.servers or guild_id in self._settings.servers

    async def _hear(self, key: ChannelKey, message: discord.Message) -> None:
        text = self.words(message)
        if not text:
            return
        await self.keep_marks(message.channel)
        port = self._line.port(key, message)
        awake = await self._desk.company.awake(key)
        asked_us = self._asked_us(message)
        addressed = named_in(text, self._desk.company.seen_in(key)) if asked_us else []
        reply_to = await self._answered(key, message)
        if not (awake or addressed or reply_to):
            # Nobody listens: what is said here is none of our business, and is not stored.
            if asked_us or message.guild is None:
                await self._tell_nobody(key, port)
            return
        incoming = Incoming(
            channel=key,
            message_id=str(message.id),
            author=person_of(message.author),
            text=text,
            reply_to=reply_to,
            mentions=tuple(c.id for c in addressed),
            attachments=tuple(_attachment(a) for a in message.attachments),
            sent_at=message.created_at,
            channel_port=port,
            direct=message.guild is None and len(awake) == 1,
            roles=tuple(str(r.id) for r in message.author.roles) if isinstance(message.author, discord.Member) else (),
        )
        await self._hand_over(incoming, port)
        await self._desk.store.set_last_seen(key, incoming.message_id)

    async def _hand_over(self, incoming: Incoming, port: DiscordPort) -> None:
        try:
            turn = await self._desk.router.hear(incoming)
        except CommandRefused as refusal:
            await port.notice(f"({refusal})")
            return
        # The settle time of a burst is still to come; people see now that they were heard, where somebody surely answers.
        called = incoming.reply_to or incoming.mentions or self._desk.router.stage.settings.always_answer
        if turn is not None and called and not is_out_of_character(incoming.text):
            port.typing_until(turn)

    async def _tell_nobody(self, key: ChannelKey, port: DiscordPort) -> None:
        if time.monotonic() - self._told_nobody.get(key, -TOLD_AGAIN_SECONDS) >= TOLD_AGAIN_SECONDS:
            self._told_nobody[key] = time.monotonic()
            await port.notice(NOBODY_HERE)

    async def keep_marks(self, channel: object) -> None:
        """Keep what Discord says of a channel: whether it is for adults. Threads have what the channel has that they are in."""
        parent = channel.parent if isinstance(channel, discord.Thread) else channel
        key = key_of(parent)
        if key is None or not isinstance(parent, discord.abc.GuildChannel):
            return
        adults = bool(getattr(parent, "nsfw", False))
        if self._adults.get(key) is not adults:
            await note_adults(self._desk, key, adults)
            self._adults[key] = adults

    def words(self, message: discord.Message) -> str:
        """What was said, with names in place of Discord's marks and without the mention of ourselves."""
        text = message.clean_content
        own = message.guild.me if message.guild is not None else self._line.client.user
        if own is not None and self._asked_us(message):
            text = text.replace(f"@{own.display_name}", "")
        text = text.strip()
        if text:
            return text
        shown = [*(a.filename for a in message.attachments), *(s.name for s in message.stickers)]
        return f"(shows {', '.join(shown)})" if shown else ""

    def _asked_us(self, message: discord.Message) -> bool:
        """Mentioned by name, or by the role that Discord gives every bot: people pick either from the list."""
        user = self._line.client.user
        own_role = message.guild.self_role if message.guild is not None else None
        by_role = own_role is not None and any(role.id == own_role.id for role in message.role_mentions)
        return by_role or (user is not None and any(mentioned.id == user.id for mentioned in message.mentions))

    async def _answered(self, key: ChannelKey, message: discord.Message) -> str | None:
        """The reply of ours that a message answers, by the id under which it is stored."""
        if message.reference is None or message.reference.message_id is None or message.type is not discord.MessageType.reply:
            return None
        answered = str(self._line.presence.original(message.reference.message_id))
        return answered if await self._desk.store.delivery_of(key, answered) is not None else None

    # ------------------------------------------------------------------ what was missed

    def away(self) -> None:
        """A new session with Discord has begun: whatever happened before it was not told to us."""
        self._caught_up.clear()

    async def catch_up(self) -> None:
        """Read what was missed in every channel where somebody listens. Safe to call again at any time."""
        waiting = asyncio.Semaphore(CATCHING_UP)

        async def one(key: ChannelKey) -> None:
            async with waiting, self._turn(key):
                await self._catch_up(key)

        await asyncio.gather(*(one(key) for key in await self._desk.store.channels_read("discord")))

    async def _catch_up(self, key: ChannelKey) -> None:
        if key in self._caught_up:
            return
        self._caught_up.add(key)
        last_seen = await self._desk.store.last_seen(key)
        if last_seen is None or not self._settings.missed_messages:
            return
        try:
            place = await self._place(key)
            if place is None:
                return
            after = discord.Object(int(last_seen))
            newest = [m async for m in place.history(limit=self._settings.missed_messages, after=after, oldest_first=False)]
        except (discord.DiscordException, *UNREACHABLE) as error:
            log.warning("missed messages could not be read channel=%s error=%s", key, type(error).__name__)
            return
        missed = [m for m in reversed(newest) if self._concerns(m)]
        for message in missed:
            await self._hear(key, message)
        if missed:
            log.info("messages read that were missed channel=%s messages=%d", key, len(missed))

    async def _place(self, key: ChannelKey) -> Place | None:
        """None when it is not there for us any more, or belongs to another process's share of the servers."""
        client, channel_id = self._line.client, channel_id_of(key)
        known = client.get_channel(channel_id)
        try:
            channel = known or await client.fetch_channel(channel_id)
        except (discord.NotFound, discord.Forbidden, discord.InvalidData):
            return None
        return channel if isinstance(channel, Place) else None

    # ------------------------------------------------------------------ edits and deletions

    async def edited(self, event: discord.RawMessageUpdateEvent) -> None:
        message = event.message
        key = key_of(message.channel) or await self._key(event.guild_id, event.channel_id)
        if key is None or message.edited_at is None or not self._concerns(message):
            return
        async with self._turn(key):  # an edit may overtake the message itself
            await self._desk.store.edit_turn(key, str(message.id), self.words(message))

    async def deleted(self, guild_id: int | None, channel_id: int, message_ids: Iterable[int]) -> None:
        """Messages are gone from Discord, and so are their words from here. What we took back ourselves is no such case."""
        theirs = [i for i in message_ids if not self._line.presence.took_back(i)]
        key = await self._key(guild_id, channel_id) if theirs else None
        if key is None:
            return
        async with self._turn(key):
            stored = [str(self._line.presence.original(i)) for i in theirs]
            turns = [await self._desk.store.turn_by_message(key, each) for each in stored]
            await self._desk.store.erase_turns(key, {t.message_id for t in turns if t is not None})

    async def channel_deleted(self, key: ChannelKey) -> None:
        """A channel is gone, with the threads in it."""
        for each in [key, *await self._desk.store.channels_read("discord", within=key)]:
            await self._desk.router.stop(each)
            async with self._turn(each):
                while turns := await self._desk.store.history(each, None, limit=ERASED_AT_ONCE):
                    await self._desk.store.erase_turns(each, [t.message_id for t in turns])
                await self._desk.store.set_awake(each, [])
            await self._desk.router.forget_session(each)

    async def left(self, guild_id: int) -> None:
        """We were removed from a server. Its data is kept for a while, in case we are invited again."""
        server = ChannelKey("discord", str(guild_id))
        await self._desk.store.change_channel_settings(server, {LEFT_AT: datetime.now(UTC).isoformat()})
        for each in await self._desk.store.channels_read("discord", within=server):
            await self._desk.router.stop(each)

    async def missing(self, named: Container[int], shards: Collection[int], shard_count: int) -> None:
        """Servers of these shards that are stored, and that Discord does not name any more: we were removed while we were away.

        ``named`` are those that it names, also where they cannot be reached just now. The note keeps its first date; it does
        nothing by itself for ``memory.left_days``, and goes when Discord names the server again.
        """
        for server in await self._desk.store.scopes("discord"):
            if not server.path.isdecimal() or (guild_id := int(server.path)) in named or (guild_id >> 22) % shard_count not in shards:
                continue
            if LEFT_AT not in await self._desk.store.channel_settings(server):
                log.info("removed from a server while away server=%d", guild_id)
                await self.left(guild_id)

    async def there(self, guild_id: int) -> None:
        """We are in a server: invited again, perhaps, after we had left it."""
        server = ChannelKey("discord", str(guild_id))
        if LEFT_AT in await self._desk.store.channel_settings(server):
            await self._desk.store.change_channel_settings(server, {LEFT_AT: None})

    async def _key(self, guild_id: int | None, channel_id: int) -> ChannelKey | None:
        """The key of a channel of which an event gives only the ids; a thread that sleeps is asked for."""
        if guild_id is None:
            return channel_key(None, channel_id)
        channel = self._line.client.get_channel(channel_id)
        if channel is None:
            try:
                channel = await self._line.client.fetch_channel(channel_id)
            except (discord.DiscordException, *UNREACHABLE):
                return channel_key(guild_id, channel_id)
        return key_of(channel)

    def _turn(self, key: ChannelKey) -> asyncio.Lock:
        """Fair: who asked first goes first."""
        return self._turns.setdefault(key, asyncio.Lock())


def _attachment(attachment: discord.Attachment) -> Attachment:
    return Attachment(attachment.filename, attachment.content_type or "", attachment.size, url=attachment.url)
