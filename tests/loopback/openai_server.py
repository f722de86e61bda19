"""An OpenAI-compatible server on this machine: says what it is told to, and records what it was asked.

As a process of its own: ``python -m tests.loopback.openai_server [--pause SECONDS]``. It prints one JSON line with its address, and
answers like ``echo``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class OpenAIServer:
    """Set ``behaviour``, then ask.

    ``normal``; ``status`` (answers with that number, ``times`` times, then normally); ``silent`` (never answers); ``garbage`` (no
    JSON in the events); ``html`` (a web page); ``hang up`` (in the middle); ``no end`` (the stream just stops); ``error`` (in the
    middle of the stream, as an event); ``slow`` (one word, then nothing until ``go_on``); ``echo`` (see ``echo``, with
    ``pause_seconds`` between two words).
    """

    base_url: str = ""
    behaviour: str = "normal"
    status: int = 500
    times: int = 1_000_000
    words: tuple[str, ...] = ("Ahoy", ", ", "🌊 ", "stranger", ".")
    finish: str = "stop"
    usage: bool = True
    pause_seconds: float = 0.0
    script: list[str] = field(default_factory=list)  # behaviours of the next requests, one each ("429" is a status); then ``behaviour``
    reply: Callable[[dict[str, Any]], str] | None = None  # what is said to a question, instead of ``words``
    echo_words: int | None = None  # of an echo; None: all of them
    remembers: bool = True  # what it was asked; a long soak has no use for that
    questions: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    live: int = 0
    most_live: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        question = await request.json()
        if self.remembers:
            self.questions.append(question)
            self.keys.append(request.headers.get("Authorization", ""))
        self.live += 1
        self.most_live = max(self.most_live, self.live)
        try:
            behaviour = self.script.pop(0) if self.script else self.behaviour
            words = [self.reply(question)] if self.reply else echo(question)[: self.echo_words] if behaviour == "echo" else self.words
            return await self._behave(request, words, behaviour)
        except (asyncio.CancelledError, ConnectionResetError):
            self.hung_up.set()
            raise
        finally:
            self.live -= 1

    async def _behave(self, request: web.Request, words: Sequence[str], behaviour: str) -> web.StreamResponse:
        if behaviour.isdigit() or (behaviour == "status" and self.times):
            self.times -= behaviour == "status"
            status = int(behaviour) if behaviour.isdigit() else self.status
            return web.json_response({"error": {"message": "no"}}, status=status, headers={"Retry-After": "0.01"})
        if behaviour == "silent":
            await self.go_on.wait()
        if behaviour == "html":
            return web.Response(text="<html>Welcome!</html>", content_type="text/html")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if behaviour == "garbage":
            await response.write(b"data: {not json\n\n")
            return response
        for number, word in enumerate(words):
            if self.pause_seconds:
                await asyncio.sleep(self.pause_seconds)
            await self._send(response, [{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}])
            if number == 0 and behaviour == "slow":
                await self.go_on.wait()
            if number == 1 and behaviour == "hang up":
                request.transport.abort()
                return response
            if number == 1 and behaviour == "error":
                await response.write(b'data: {"error": {"message": "out of memory"}}\n\n')
                return response
        if behaviour == "no end":
            return response
        await self._send(response, [{"index": 0, "delta": {}, "finish_reason": self.finish}])
        if self.usage:
            await self._send(
                response,
                [],
                {"prompt_tokens": 40, "completion_tokens": 5, "total_tokens": 45, "prompt_tokens_details": {"cached_tokens": 30}},
            )
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _send(self, response: web.StreamResponse, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> None:
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, "usage": usage}
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())


def echo(question: dict[str, Any]) -> list[str]:
    """Says the marks (``#17``) of the message it was asked about, so that everybody can see which reply belongs to which message."""
    asked = next((m["content"] for m in reversed(question["messages"]) if m["role"] == "user"), "")
    return said_to(re.findall(r"#\d+", asked)[-1:])


def said_to(marks: Sequence[str]) -> list[str]:
    words = f"Aye, {' '.join(marks) or 'friend'}, I heard you well, and the lamp is lit for all who come by sea tonight."
    return re.findall(r"\S+\s*", words)


@asynccontextmanager
async def openai_server(**settings: object) -> AsyncIterator[OpenAIServer]:
    server = OpenAIServer(**settings)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        server.go_on.set()
        await runner.cleanup()


async def _serve(pause: float, words: int | None) -> None:
    async with openai_server(behaviour="echo", echo_words=words, pause_seconds=pause, remembers=False) as server:
        print(json.dumps({"base_url": server.base_url}), flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An OpenAI-compatible server on 127.0.0.1 that echoes.")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two words")
    parser.add_argument("--words", type=int, help="of each reply at the most; at least 2, or its mark is cut off")
    given = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(given.pause, given.words))
