"""Keeping to Telegram's limits: one message a second in a chat, twenty a minute in a group, thirty calls a second in all.

The library's own limiter is not used: its leaky buckets let forty messages into a group's first minute, and a refusal in
one chat holds every other. Here each chat waits in its own line, first come first served, and only for itself.
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from telegram.error import RetryAfter
from telegram.ext import BaseRateLimiter

Answer = bool | dict[str, Any] | list[dict[str, Any]]

SECOND, MINUTE = 1.05, 60.5  # a little longer than Telegram's: calls do not travel equally fast
PER_CHAT, PER_GROUP = 1, 20
# Thirty a second for the whole bot, as 24 in an even flow: of thirty in one go, some arrive together with the next thirty.
OVERALL, OVERALL_SECONDS = 3, 0.125
LINES = 2000  # chats that are counted at once; who was quiet longest gives way
RETRY_MARGIN_SECONDS = 0.1

# What puts words or pictures into a chat, or changes them. Everything else counts for the whole bot only.
_MESSAGES = ("send", "edit", "forward", "copy")
_NO_MESSAGES = frozenset({"sendChatAction"})


class _Window:
    """At most ``most`` events within any ``seconds``."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._at: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Seconds until one more is within the limit."""
        while self._at and self._at[0] <= now - self._seconds:
            self._at.popleft()
        return 0.0 if len(self._at) < self._most else self._at[0] + self._seconds - now

    def note(self, now: float) -> None:
        self._at.append(now)


class _Line:
    """What waits for one chat."""

    def __init__(self, *, group: bool) -> None:
        self.turn = asyncio.Lock()  # fair: who came first goes first
        self.windows = [_Window(PER_CHAT, SECOND), *([_Window(PER_GROUP, MINUTE)] if group else [])]
        self.held_until = 0.0


class Pace(BaseRateLimiter[int]):
    """One per bot token. ``clock`` counts seconds and ``sleep`` waits for it; a test brings its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._clock, self._sleep = clock, sleep
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._overall = _Window(OVERALL, OVERALL_SECONDS)
        self._overall_turn = asyncio.Lock()

    async def initialize(self) -> None:
        return None

    async def shutdown(self) -> None:
        return None

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Answer]],
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: int | None,
    ) -> Answer:
        """Wait for the chat's turn, then for the bot's. A ``RetryAfter`` holds this chat alone, and is raised.

        ``rate_limit_args`` is how often more a call is made that Telegram asks us to make later.
        """
        chat_id = data.get("chat_id")
        if chat_id is None or not endpoint.startswith(_MESSAGES) or endpoint in _NO_MESSAGES:
            if chat_id is not None:
                await self._wait_overall()
            return await callback(*args, **kwargs)
        line = self._line(str(chat_id))
        async with line.turn:
            for left in reversed(range(1 + (rate_limit_args or 0))):
                try:
                    return await self._carry_out(line, lambda: callback(*args, **kwargs))
                except RetryAfter as error:
                    line.held_until = self._clock() + seconds_of(error)
                    if not left:
                        raise
        raise AssertionError("the loop returns or raises")

    async def _carry_out(self, line: _Line, call: Callable[[], Awaitable[Answer]]) -> Answer:
        while (wait := self._wait(line)) > 0:
            await self._sleep(wait)
        await self._wait_overall()
        try:
            return await call()
        finally:
            # Counted from the end of the call: by then it has arrived, however long it was on its way.
            for window in line.windows:
                window.note(self._clock())

    def held(self, chat_id: int) -> bool:
        """Whether Telegram has asked us to be silent in a chat."""
        line = self._lines.get(str(chat_id))
        return line is not None and line.held_until > self._clock()

    def _wait(self, line: _Line) -> float:
        now = self._clock()
        return max(line.held_until - now, *(window.wait(now) for window in line.windows))

    async def _wait_overall(self) -> None:
        async with self._overall_turn:
            while (wait := self._overall.wait(self._clock())) > 0:
                await self._sleep(wait)
            self._overall.note(self._clock())

    def _line(self, chat_id: str) -> _Line:
        line = self._lines.get(chat_id)
        if line is None:
            self._make_room()
            line = self._lines[chat_id] = _Line(group=not chat_id.isdecimal())
        self._lines.move_to_end(chat_id)
        return line

    def _make_room(self) -> None:
        """Chats in which everything is long over need not be counted any more."""
        for chat_id in list(self._lines)[: max(0, len(self._lines) - LINES)]:
            line = self._lines[chat_id]
            if not line.turn.locked() and self._wait(line) <= 0:
                del self._lines[chat_id]


def seconds_of(error: RetryAfter) -> float:
    """How long Telegram asks us to wait."""
    wait = error.retry_after
    return (wait if isinstance(wait, int | float) else wait.total_seconds()) + RETRY_MARGIN_SECONDS
