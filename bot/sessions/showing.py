"""One reply as it appears in a channel: opened with its first words, edited while it grows, split where it is too long.

What has been sent is written down as soon as the platform has named it, so that a crash leaves one reply, not two.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from bot.errors import ConnectorError, RateLimited
from bot.messages import Channel, Face, Previewing
from bot.sessions.split_reply import split_reply

log = logging.getLogger(__name__)

FIRST_WORDS = 12  # characters: a message that opens with half a word helps nobody
LONGEST_WAIT_SECONDS = 300.0  # Telegram has asked for four minutes; only this channel waits
TRIES = 4


class Showing:
    """Not for two replies at once. ``opened`` is called with each new message's id before anything else is sent."""

    def __init__(
        self, port: Channel, face: Face, opened: Callable[[str], Awaitable[None]], sent: tuple[str, ...] = (), shown: tuple[str, ...] = ()
    ) -> None:
        self._port, self._face, self._opened = port, face, opened
        self._sent = list(sent)
        self._shown = [*shown, *[""] * (len(sent) - len(shown))]
        self._next_edit = 0.0

    @property
    def sent(self) -> tuple[str, ...]:
        return tuple(self._sent)

    async def grow(self, text: str) -> None:
        """Show what there is so far, if the platform likes to see it already. Losing one of these steps loses nothing."""
        pause = self._port.limits.edit_seconds
        if pause is None or len(text) < FIRST_WORDS or time.monotonic() < self._next_edit:
            return
        try:
            if not self._sent and self._port.limits.previews and isinstance(self._port, Previewing):
                await self._port.preview(self._face, text)
            else:
                await self._bring_to(text)
            self._next_edit = time.monotonic() + pause
        except RateLimited as error:
            self._next_edit = time.monotonic() + error.retry_after_seconds
        except ConnectorError as error:
            self._next_edit = time.monotonic() + 2 * max(pause, 1.0)
            log.info("a growing reply could not be shown, the whole one will be: %s", error)

    async def settle(self, text: str) -> None:
        """Show the whole reply, waiting as long as the platform asks.

        Raises:
            ConnectorError: the platform refused it for good; the channel may be gone.
        """
        for left in reversed(range(TRIES)):
            try:
                await self._bring_to(text)
                return
            except RateLimited as error:
                if not left or error.retry_after_seconds > LONGEST_WAIT_SECONDS:
                    raise
                await asyncio.sleep(error.retry_after_seconds)

    async def _bring_to(self, text: str) -> None:
        pieces = split_reply(text, self._port.limits)
        for i, piece in enumerate(pieces):
            if i == len(self._sent):
                sent_id = await self._port.open(self._face, piece)
                self._sent.append(sent_id)
                self._shown.append(piece)
                await self._opened(sent_id)
            elif self._shown[i] != piece:
                await self._port.edit(self._sent[i], piece)
                self._shown[i] = piece
        for _ in range(len(self._sent) - len(pieces)):  # a second take can be shorter than the first
            await self._port.remove(self._sent[-1])
            self._sent.pop()
            self._shown.pop()
