"""Who is typing where: one indicator per channel, however many replies are being made there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from bot.errors import ConnectorError
from bot.messages import ChannelKey

log = logging.getLogger(__name__)

AGAIN_SECONDS = 8.0  # Discord shows it for ten


class Typing:
    """``show`` makes Discord show it once. Beside the reply, never before it: where we may not type we may still speak."""

    def __init__(self, show: Callable[[ChannelKey], Awaitable[None]]) -> None:
        self._show = show
        self._wanted: dict[ChannelKey, int] = {}
        self._tasks: dict[ChannelKey, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def shown(self, key: ChannelKey) -> AsyncGenerator[None]:
        self._enter(key)
        try:
            yield
        finally:
            self._leave(key)

    def until(self, key: ChannelKey, turn: asyncio.Future[Any]) -> None:
        """From now until a turn is over, also while it still waits for its turn."""
        if not turn.done():
            self._enter(key)
            turn.add_done_callback(lambda _: self._leave(key))

    async def close(self) -> None:
        for key in list(self._tasks):
            self._end(key)
        if self._ending:
            await asyncio.wait(self._ending)

    def _enter(self, key: ChannelKey) -> None:
        self._wanted[key] = self._wanted.get(key, 0) + 1
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._keep_showing(key), name=f"typing {key}")

    def _leave(self, key: ChannelKey) -> None:
        self._wanted[key] -= 1
        if not self._wanted[key]:
            del self._wanted[key]
            self._end(key)

    def _end(self, key: ChannelKey) -> None:
        task = self._tasks.pop(key, None)
        if task is not None:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            task.cancel()

    async def _keep_showing(self, key: ChannelKey) -> None:
        while True:
            try:
                await self._show(key)
            except ConnectorError as error:
                log.debug("typing is not shown: %s", error)
            await asyncio.sleep(AGAIN_SECONDS)
