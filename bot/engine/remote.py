"""Somebody else's model behind the same interface: any server that speaks OpenAI's chat protocol."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import openai
from httpx2 import HTTPError  # what openai's own errors stand on
from openai.types.chat import ChatCompletionChunk

from bot.config import RemoteEngine as RemoteSettings
from bot.engine.scheduler import Status
from bot.engine.tokenizer import CHATML
from bot.errors import BotError, EngineBusy, EngineError, EngineStopped, PromptTooLong
from bot.messages import ChannelKey, Counters, Piece, Prompt, Sampling

log = logging.getLogger(__name__)

_BYTES_PER_TOKEN: Final = 3  # English has more to a token, Chinese about as many: rather too many tokens than too few


class CountingTokenizer:
    """Stands in for a tokenizer that only the server has: its "tokens" are three bytes each, good for budgets and nothing else.

    They can be decoded again, so that a text may still be cut to a number of tokens.
    """

    chat_template = CHATML
    bos = ""
    eos = "<|im_end|>"

    def encode(self, text: str, *, special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        # A leading 1 keeps the length: b"\0a" and b"a" are different tokens.
        return [int.from_bytes(b"\1" + data[i : i + _BYTES_PER_TOKEN], "big") for i in range(0, len(data), _BYTES_PER_TOKEN)]

    def decode(self, tokens: Sequence[int]) -> str:
        return b"".join(token.to_bytes(_BYTES_PER_TOKEN + 1, "big").partition(b"\1")[2] for token in tokens).decode("utf-8", "ignore")


class RemoteEngine:
    """A ``bot.messages.Engine`` on a server. The server renders the prompt's messages with its own template."""

    def __init__(self, settings: RemoteSettings, *, queue: int = 256) -> None:
        self._settings = settings
        self._queue = queue
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=os.environ.get(settings.api_key_env) or "none",  # a server of one's own often wants none
            timeout=settings.timeout_seconds,
            max_retries=1,
        )
        self._places = asyncio.Semaphore(settings.concurrent)
        self._waiting: list[ChannelKey] = []
        self._live: Counter[ChannelKey] = Counter()
        self._closed = False
        self._totals = Counters()
        self._tokenizer = CountingTokenizer()

    @property
    def tokenizer(self) -> CountingTokenizer:
        return self._tokenizer

    @property
    def context_tokens(self) -> int:
        return self._settings.context_tokens

    @property
    def build(self) -> str:
        return f"{self._settings.model or 'default'}@{urlsplit(self._settings.base_url).netloc}"

    @property
    def status(self) -> Status:
        return Status(
            live=self._live.total(),
            waiting=len(self._waiting),
            evaluated_tokens=self._totals.evaluated_tokens,
            reused_tokens=self._totals.reused_tokens,
            reply_tokens=self._totals.reply_tokens,
        )

    def position(self, channel: ChannelKey) -> int | None:
        """How many replies are asked for before this channel's next: 0 while it is being made, None if it waits for nothing."""
        if self._live[channel]:
            return 0
        return self._waiting.index(channel) + 1 if channel in self._waiting else None

    async def warm(self, prefix: Sequence[int]) -> None:
        """Nothing to do: what the server keeps ready is its own business."""

    def forget(self, channel: ChannelKey | None = None) -> None:
        """Nothing to do either: a server's cache cannot be told to."""

    async def stream(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        channel: ChannelKey,
        person: str = "",
        background: bool = False,
    ) -> AsyncIterator[Piece]:
        """As ``bot.messages.Engine.stream``; closing it hangs up, and the server stops."""
        limit = self._settings.context_tokens - sampling.max_tokens
        if len(prompt.tokens) > limit:
            raise PromptTooLong(len(prompt.tokens), max(0, limit))
        arrived = time.monotonic()
        async with self._place(channel), self._translated():
            reply = _Reply(len(prompt.tokens), arrived)
            # The limit is for the whole reply, but never runs while we wait for the reader of the stream: a timeout that fires
            # there would cancel somebody else's work.
            deadline = asyncio.get_running_loop().time() + self._settings.timeout_seconds
            async with asyncio.timeout_at(deadline):
                chunks = await self._client.chat.completions.create(**self._question(prompt, sampling))
            try:
                while (chunk := await _next(chunks, deadline)) is not None:
                    text = reply.take(chunk)
                    if text:
                        yield Piece(text, counters=reply.counters())
            finally:
                await chunks.close()
            if reply.finish is None:
                raise EngineError(f"{self._where} broke off in the middle of a reply")
            last = reply.counters()
            self._totals = Counters(
                evaluated_tokens=self._totals.evaluated_tokens + last.evaluated_tokens,
                reused_tokens=self._totals.reused_tokens + last.reused_tokens,
                reply_tokens=self._totals.reply_tokens + last.reply_tokens,
            )
            yield Piece("", "length" if reply.finish == "length" else "stop", last)

    async def close(self) -> None:
        """Hang up; replies that are being made end with ``EngineStopped``. May be called again."""
        self._closed = True
        await self._client.close()

    @property
    def _where(self) -> str:
        return f"the server at {self._settings.base_url}"

    def _question(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        # Only what every such server knows: top_k, min_p and the penalties are refused by some of them.
        return {
            "model": self._settings.model,
            "messages": [],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed if sampling.seed is not None else openai.omit,
            "stream": True,
            "stream_options": {"include_usage": True},
            # Beside the client's own argument, which compares each message with its types: 40 ms of the event loop for 250 of them.
            "extra_body": {"messages": [{"role": message.role, "content": message.text} for message in prompt.messages]},
        }

    @asynccontextmanager
    async def _place(self, channel: ChannelKey) -> AsyncIterator[None]:
        """One of the ``concurrent`` replies at a time, in the order of arrival."""
        if self._closed:
            raise EngineStopped("the engine is not running any more; start Troupe again")
        if len(self._waiting) >= self._queue:
            raise EngineBusy(f"{self._queue} replies are waiting already; try again in a moment")
        self._waiting.append(channel)
        try:
            await self._places.acquire()
        finally:
            self._waiting.remove(channel)
        self._live[channel] += 1
        try:
            yield
        finally:
            self._live[channel] -= 1
            self._places.release()

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """The border: nothing of the client's or the server's errors gets further than here."""
        try:
            yield
        except (openai.OpenAIError, HTTPError, TimeoutError, ValueError, RuntimeError) as error:
            raise self._sentence(error) from error

    def _sentence(self, error: Exception) -> BotError:
        settings = self._settings
        match error:
            case _ if self._closed:
                return EngineStopped("the engine was stopped before the reply was finished")
            case TimeoutError() | openai.APITimeoutError():
                return EngineError(
                    f"{self._where} did not answer within {settings.timeout_seconds:g} seconds; raise engine.remote.timeout_seconds"
                )
            case openai.RateLimitError():
                return EngineBusy(f"{self._where} has too much to do; try again in a moment, or lower engine.remote.concurrent")
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                return EngineError(f"{self._where} refuses the key; put the right one into {settings.api_key_env}")
            case openai.NotFoundError():
                return EngineError(f"{self._where} does not know {settings.model!r}; check engine.remote.model and base_url")
            case openai.APIStatusError():
                return EngineError(f"{self._where} refused the reply with status {error.status_code}; its log says why")
            case openai.APIConnectionError() | HTTPError():
                return EngineError(f"{self._where} cannot be reached or hung up; check that it runs, and engine.remote.base_url")
            case openai.APIError():
                return EngineError(f"{self._where} reported an error in the middle of a reply; its log says why")
            case json.JSONDecodeError() | UnicodeDecodeError():
                return EngineError(f"{self._where} does not speak OpenAI's chat protocol; check engine.remote.base_url")
        raise error  # a bug of ours: the turn logs its trace


async def _next(chunks: AsyncIterator[ChatCompletionChunk], deadline: float) -> ChatCompletionChunk | None:
    """The next chunk, None after the last. ``deadline`` is the loop's time."""
    async with asyncio.timeout_at(deadline):
        return await anext(chunks, None)


class _Reply:
    """What has arrived of one reply."""

    def __init__(self, prompt_tokens: int, arrived: float) -> None:
        self.finish: str | None = None
        self._arrived = arrived
        self._first: float | None = None
        self._prompt, self._reused, self._said = prompt_tokens, 0, 0

    def take(self, chunk: ChatCompletionChunk) -> str:
        """The new text; counts what it cost, by the server's own figures where it gives them."""
        if not isinstance(chunk, ChatCompletionChunk):
            raise json.JSONDecodeError("not a chunk of a reply", str(type(chunk)), 0)
        usage = chunk.usage
        if usage is not None:
            self._prompt, self._said = usage.prompt_tokens, usage.completion_tokens
            self._reused = (usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens) or 0
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self.finish = choice.finish_reason or self.finish
        text = choice.delta.content or ""
        if text:
            self._first = self._first or time.monotonic()
            if usage is None:
                self._said += math.ceil(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN)
        return text

    def counters(self) -> Counters:
        return Counters(
            prompt_tokens=self._prompt,
            reused_tokens=self._reused,
            evaluated_tokens=self._prompt - self._reused,
            reply_tokens=self._said,
            first_token_seconds=(self._first or time.monotonic()) - self._arrived,
            total_seconds=time.monotonic() - self._arrived,
        )
