"""The way back to a client of the API: what a session shows becomes the pieces of one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, nullcontext
from uuid import uuid4

from bot.errors import EngineError
from bot.messages import Face, Limits, Piece, Reply

# What was sent cannot be taken back, and a program sends one message for one turn.
LIMITS = Limits(length=100_000, edit_seconds=0.0, bursts=False, retracts=False)


class ApiPort:
    """A ``Channel`` for one turn. It belongs to the request that asked."""

    def __init__(self) -> None:
        self._shown: asyncio.Queue[str | None] = asyncio.Queue()  # the whole text so far; None: the turn is over
        self._notices: list[str] = []

    @property
    def limits(self) -> Limits:
        return LIMITS

    async def open(self, character: Face, text: str) -> str:
        self._shown.put_nowait(text)
        return uuid4().hex

    async def edit(self, sent_id: str, text: str) -> None:
        self._shown.put_nowait(text)

    async def remove(self, sent_id: str) -> None:
        pass

    def typing(self, character: Face) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def notice(self, text: str) -> None:
        self._notices.append(text)

    async def pieces(self, replies: asyncio.Future[list[Reply]]) -> AsyncGenerator[Piece]:
        """What is added to the reply, and at the end its counters.

        Raises:
            BotError: what became of the turn instead.
        """
        replies.add_done_callback(lambda _: self._shown.put_nowait(None))
        sent = ""
        while (text := await self._shown.get()) is not None:
            if text.startswith(sent) and text != sent:
                yield Piece(text[len(sent) :])
                sent = text
        made = replies.result()
        if not made:
            raise EngineError(self._notices[-1] if self._notices else "the turn was stopped before its first word")
        reply = made[-1]
        rest = reply.text[len(sent) :] if reply.text.startswith(sent) else ""
        yield Piece(rest, "length" if reply.stamp.finish_reason == "length" else "stop", reply.stamp.counters)
