"""Who is asked. Each takes token ids and gives as many tokens as are wanted, with the time of each."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

import aiohttp

from bot.engine.engine import LlamaEngine
from bot.errors import EngineError
from bot.messages import ChannelKey, Prompt, Sampling

_LINE_BYTES: Final = 1 << 20  # a prompt of token ids on one line
_WARM_CHANNEL: Final = ChannelKey("web", "warm-up")


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    times: tuple[float, ...]  # of each token, in seconds from the asking on
    prompt_tokens: int
    evaluated_tokens: int | None  # None: it does not tell
    reused_tokens: int | None


class Contestant(Protocol):
    name: str

    async def ask(self, prompt: Prompt, channel: ChannelKey, reply_tokens: int) -> Answer: ...

    async def know(self, prefixes: Sequence[Prompt]) -> None:
        """Read what these characters' prompts begin with, if that helps."""
        ...

    def peak_memory_bytes(self) -> int | None: ...

    async def close(self) -> None: ...


# ------------------------------------------------------------------ our engine


class Troupe:
    name = "troupe"

    def __init__(self, engine: LlamaEngine) -> None:
        self._engine = engine

    async def ask(self, prompt: Prompt, channel: ChannelKey, reply_tokens: int) -> Answer:
        asked = time.monotonic()
        said: list[str] = []
        times: list[float] = []
        sampling = Sampling(max_tokens=reply_tokens, seed=1)
        async for piece in self._engine.stream(prompt, sampling, channel=channel, endless=True):
            said.append(piece.text)
            counters = piece.counters
            # A piece may be several tokens that only together are a character.
            times += [time.monotonic() - asked] * (counters.reply_tokens - len(times))
        return Answer("".join(said), tuple(times), counters.prompt_tokens, counters.evaluated_tokens, counters.reused_tokens)

    async def know(self, prefixes: Sequence[Prompt]) -> None:
        for prompt in prefixes:
            await self._engine.warm(prompt.tokens)

    def peak_memory_bytes(self) -> int | None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    async def close(self) -> None:
        await self._engine.close()


# ------------------------------------------------------------------ one Llama behind a lock


class Serial:
    """One ``Llama`` object, one reply at a time, as bots usually have it. In a process of its own: ``serial_worker``."""

    name = "serial"

    def __init__(self, worker: Process) -> None:
        self._worker = worker
        self._lock = asyncio.Lock()
        self._peak: int | None = None

    @classmethod
    async def open(cls, model: Path, threads: int, context_tokens: int) -> Self:
        settings = json.dumps({"model": str(model), "threads": threads, "context_tokens": context_tokens})
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot.bench.serial_worker", settings, stdin=PIPE, stdout=PIPE, limit=_LINE_BYTES
        )
        return cls(worker)

    async def ask(self, prompt: Prompt, channel: ChannelKey, reply_tokens: int) -> Answer:
        asked = time.monotonic()
        async with self._lock:
            assert self._worker.stdin is not None and self._worker.stdout is not None
            self._worker.stdin.write(json.dumps({"tokens": prompt.tokens, "reply_tokens": reply_tokens}).encode() + b"\n")
            line = await self._worker.stdout.readline()
        if not line:
            raise EngineError("the process with the single Llama object has ended; its last words stand above")
        told = json.loads(line)
        self._peak = told["peak_memory_bytes"]
        times = tuple(at - asked for at in told["times"])  # CLOCK_MONOTONIC is one for all processes
        return Answer(told["text"], times, len(prompt.tokens), told["evaluated_tokens"], len(prompt.tokens) - told["evaluated_tokens"])

    async def know(self, prefixes: Sequence[Prompt]) -> None:
        for prompt in prefixes:
            await self.ask(prompt, _WARM_CHANNEL, 1)

    def peak_memory_bytes(self) -> int | None:
        return self._peak

    async def close(self) -> None:
        assert self._worker.stdin is not None
        self._worker.stdin.close()
        await self._worker.wait()


# ------------------------------------------------------------------ a server


class Server:
    """Any server with OpenAI's ``/completions`` that takes token ids, as llama.cpp's own does."""

    def __init__(self, url: str) -> None:
        self.name = url
        self._session = aiohttp.ClientSession(
            # A connection for each question: while others are asked, a server may hang up, and that is no fault of its.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=600),
            read_bufsize=_LINE_BYTES,
        )

    async def ask(self, prompt: Prompt, channel: ChannelKey, reply_tokens: int) -> Answer:
        question = {
            "model": "default",
            "prompt": list(prompt.tokens),
            "max_tokens": reply_tokens,
            "temperature": 0.6,
            "seed": 1,
            "ignore_eos": True,
            "cache_prompt": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        asked = time.monotonic()
        said: list[str] = []
        times: list[float] = []
        timings: dict[str, int] = {}
        try:
            async with self._session.post(f"{self.name.rstrip('/')}/completions", json=question) as response:
                if response.status != 200:
                    raise EngineError(f"{self.name} answers {response.status}; --against wants the address before /completions")
                async for line in response.content:
                    chunk = _chunk(line)
                    if chunk.get("choices"):
                        said.append(chunk["choices"][0].get("text") or "")
                        if chunk["choices"][0].get("finish_reason") is None:
                            times.append(time.monotonic() - asked)
                    timings = chunk.get("timings") or timings
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineError(f"{self.name} cannot be asked ({type(error).__name__}); is a server running there?") from error
        return Answer("".join(said), tuple(times), len(prompt.tokens), timings.get("prompt_n"), timings.get("cache_n"))

    async def know(self, prefixes: Sequence[Prompt]) -> None:
        for prompt in prefixes:
            await self.ask(prompt, _WARM_CHANNEL, 1)

    def peak_memory_bytes(self) -> int | None:
        return None  # it is not our process

    async def close(self) -> None:
        await self._session.close()


def _chunk(line: bytes) -> dict[str, Any]:
    data = line.removeprefix(b"data:").strip()
    if not line.startswith(b"data:") or data == b"[DONE]":
        return {}
    chunk = json.loads(data)
    return chunk if isinstance(chunk, dict) else {}
