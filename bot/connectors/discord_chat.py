"""Troupe on Discord: keeps a connection for as long as the house serves, whatever happens to the last one.

discord.py comes back by itself from most things. From some it does not (a dispatch that it cannot parse, a gateway that
cannot be reached at first, a session that Discord ends for good): then a new client is made, after a pause that grows.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping

import discord
from discord.gateway import DiscordWebSocket
from discord.http import Route
from yarl import URL

from bot.commands.desk import Desk
from bot.commands.voice import speaks
from bot.config import DiscordSettings
from bot.connectors.discord_border import UNREACHABLE, Place, channel_id_of, refusals
from bot.connectors.discord_buttons import reply_buttons
from bot.connectors.discord_client import DiscordClient
from bot.connectors.discord_commands import add_commands
from bot.connectors.discord_port import DiscordPort
from bot.connectors.discord_presence import Presence
from bot.connectors.discord_typing import Typing
from bot.errors import ChannelGone, ConfigError, ConnectorError
from bot.messages import Channel, ChannelKey

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 120.0
REFUSED_PAUSE_SECONDS = 300.0  # a wrong token does not become right by asking often
STEADY_SECONDS = 60.0  # a connection that held so long was a good one: the next pause is short again
CLOSING_SECONDS = 3.0  # that a connection gets to say goodbye
PATIENCE_SECONDS = 300.0  # how long a reply waits for a connection
ALSO_READ = "DISCORD_TOKEN"  # what other bots call the variable


def bot_token(settings: DiscordSettings, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token, or None when Discord is not to be joined."""
    return (environment.get(settings.token_env) or environment.get(ALSO_READ) or "").strip() or None


def point_library(settings: DiscordSettings) -> None:
    """Let discord.py talk to the addresses of the settings. For the whole process: it has them as class attributes.

    Its loggers write whole events, words and all, at DEBUG: that level is for ours alone.
    """
    if settings.shard_ids and not settings.shard_count:
        raise ConfigError("discord.shard_ids needs discord.shard_count: say how many there are in all")
    Route.BASE = settings.api_base.rstrip("/")
    DiscordWebSocket.DEFAULT_GATEWAY = URL(settings.gateway_url)
    logging.getLogger("discord").setLevel(max(logging.INFO, logging.getLogger().level))


class DiscordChat:
    """``start`` returns at once and connects in the background; ports wait for the connection."""

    def __init__(self, settings: DiscordSettings, desk: Desk, token: str) -> None:
        self._settings, self._desk, self._token = settings, desk, token
        self._client: DiscordClient | None = None
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._synced = False
        self.typing = Typing(self._show_typing)

    async def start(self) -> None:
        """Raises ``ConfigError`` for settings that cannot be meant."""
        point_library(self._settings)
        self._task = asyncio.create_task(self._run(), name="discord")

    async def stop(self) -> None:
        """Leave Discord. What is being said is taken up at the next start."""
        while self._task is not None and not self._task.done():
            # Once is not enough: discord.py swallows a cancellation that comes while it reconnects, and then waits for ever.
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSING_SECONDS)
        await self.typing.close()

    def port(self, channel: ChannelKey) -> Channel | None:
        """The way into a channel by its key; None for a key that is not Discord's."""
        if channel.platform != "discord" or not channel.path.rsplit("/", 1)[-1].isdecimal():
            return None
        return DiscordPort(self, channel, self._settings)

    async def ready(self) -> DiscordClient:
        """The connected client. Raises ``ConnectorError`` when there is none for a long time."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._connected.wait()
        except TimeoutError:
            raise ConnectorError("Discord cannot be reached") from None
        assert self._client is not None, "connected without a client"
        return self._client

    async def place(self, key: ChannelKey) -> tuple[Place, Presence]:
        client = await self.ready()
        channel_id = channel_id_of(key)
        channel = client.get_channel(channel_id)
        if channel is None:
            with refusals(str(key)):
                channel = await client.fetch_channel(channel_id)
        if not isinstance(channel, Place):
            raise ChannelGone(f"{key} is no channel to talk in")
        return channel, client.presence

    async def _show_typing(self, key: ChannelKey) -> None:
        with refusals(str(key)):
            place, _ = await self.place(key)
            await place.typing()

    def buttons(self) -> discord.ui.View | None:
        return reply_buttons(voiced=speaks(self._desk)) if self._settings.buttons else None

    # ------------------------------------------------------------------ the connection

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            wait = await self._connect_once()
            if time.monotonic() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            wait = pause if wait is None else wait
            log.info("discord: a new connection is made seconds=%.0f", wait)
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _connect_once(self) -> float | None:
        """One client, from login to its end. Returns how long to wait; None: as long as it has been growing."""
        client = DiscordClient(self._settings, self._desk, self)
        add_commands(client)
        greeting = asyncio.create_task(self._welcome(client), name="discord welcome")
        try:
            async with client:
                await client.start(self._token)
            log.warning("discord: the connection ended")
        except discord.LoginFailure:
            log.error("discord: the token is not accepted; set %s to the bot's token", self._settings.token_env)  # noqa: TRY400
            return REFUSED_PAUSE_SECONDS
        except discord.PrivilegedIntentsRequired:
            log.error("discord: switch on Message Content Intent for this bot (developer portal, page Bot)")  # noqa: TRY400
            return REFUSED_PAUSE_SECONDS
        except discord.ConnectionClosed as error:
            log.warning("discord: the connection was closed for good code=%s", error.code)
            return REFUSED_PAUSE_SECONDS if error.code in (4004, 4010, 4011, 4012, 4013) else None
        except (discord.DiscordException, *UNREACHABLE) as error:
            log.warning("discord: no connection error=%s: %s", type(error).__name__, error)
        except Exception:  # the library ends with whatever its parser met
            log.exception("discord: the connection crashed")
        finally:
            self._connected.clear()
            greeting.cancel()
            await asyncio.wait({greeting})
        return None

    async def _welcome(self, client: DiscordClient) -> None:
        """Once Discord has greeted us: open the ports, and register the commands once a process."""
        await client.greeted.wait()
        self._client = client
        self._connected.set()
        if self._synced:
            return
        try:
            await client.tree.sync()
            self._synced = True
        except (discord.DiscordException, *UNREACHABLE) as error:
            log.warning("discord: commands could not be registered error=%s: %s", type(error).__name__, error)
