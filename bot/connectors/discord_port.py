"""The way back into a channel of Discord: what a session says becomes messages of the right face."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import discord

from bot.config import DiscordSettings
from bot.connectors.discord_border import NOBODY, UNREACHABLE, Place, refusals, speakable
from bot.connectors.discord_presence import Presence
from bot.connectors.discord_typing import Typing
from bot.errors import ConnectorError
from bot.messages import ChannelKey, Face, Limits

log = logging.getLogger(__name__)

LONGEST = 2000  # characters; Discord's OpenAPI says 4000, its servers refuse more than 2000 from a bot
NAME_RESERVE = 90  # where a webhook is missing, "**Name:** " stands before the text


class Door(Protocol):
    """What a port needs of the connector."""

    async def place(self, key: ChannelKey) -> tuple[Place, Presence]:
        """The channel, and how we appear there; waits for a connection.

        Raises:
            ConnectorError: there is none for a long time. ``ChannelGone``: the channel is not there any more.
        """
        ...

    @property
    def typing(self) -> Typing: ...

    def buttons(self) -> discord.ui.View | None:
        """What stands under a reply."""
        ...


class DiscordPort:
    """A ``Channel``. Any number may stand for the same channel; ``answering`` is the message that this one replies to."""

    def __init__(self, door: Door, key: ChannelKey, settings: DiscordSettings, answering: discord.Message | None = None) -> None:
        self._door, self._key, self._settings = door, key, settings
        self._answering = answering

    @property
    def limits(self) -> Limits:
        return Limits(length=LONGEST - NAME_RESERVE, edit_seconds=self._settings.edit_seconds)

    async def open(self, character: Face, text: str) -> str:
        with refusals(str(self._key)):
            place, presence = await self._door.place(self._key)
            spoken = speakable(text, self._settings.links)
            return str(await presence.speak(place, character, spoken, notice=self._notice(place, presence), view=self._door.buttons()))

    async def edit(self, sent_id: str, text: str) -> None:
        with refusals(str(self._key)):
            place, presence = await self._door.place(self._key)
            await presence.rewrite(place, int(sent_id), speakable(text, self._settings.links))

    async def remove(self, sent_id: str) -> None:
        with refusals(str(self._key)):
            place, presence = await self._door.place(self._key)
            await presence.take_back(place, int(sent_id))

    async def find_sent(self, character: Face, after_message_id: str) -> list[str]:
        """Ids of what this application has said as ``character`` since a message, the oldest first.

        Closes the one window in which a crash could double a reply: it was sent, and its id not yet stored.
        """
        with refusals(str(self._key)):
            place, presence = await self._door.place(self._key)
            return [str(i) for i in await presence.found(place, character, int(after_message_id))]

    def typing(self, character: Face) -> AbstractAsyncContextManager[None]:
        return self._door.typing.shown(self._key)

    def typing_until(self, turn: asyncio.Future[Any]) -> None:
        """From now until a turn is over: people see at once that they were heard."""
        self._door.typing.until(self._key, turn)

    async def notice(self, text: str) -> None:
        try:
            place, _ = await self._door.place(self._key)
            await place.send(text[:LONGEST], allowed_mentions=NOBODY)
        except (ConnectorError, discord.DiscordException, *UNREACHABLE) as error:
            log.warning("a notice could not be shown channel=%s error=%s", self._key, type(error).__name__)

    def _notice(self, place: Place, presence: Presence) -> discord.Embed | None:
        """Webhooks cannot reply: where others have spoken since, a small line says whom this answers."""
        asked = self._answering
        if asked is None or not presence.spoken_since(place.id, asked.id):
            return None
        return discord.Embed().set_author(
            name=f"↪ {asked.author.display_name}"[:256], url=asked.jump_url, icon_url=asked.author.display_avatar.url
        )
