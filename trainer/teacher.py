"""A teacher: any engine of the bot's, asked for one text at a time. Knows nothing of what is asked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import openai
from pydantic import Field

from bot.characters.template import ChatTemplate, encode
from bot.config import EngineSettings, Section
from bot.config import RemoteEngine as RemoteSettings
from bot.engine.engine import LlamaEngine
from bot.engine.models import STARTER, prepare_untuned
from bot.engine.remote import RemoteEngine
from bot.errors import EngineError, EngineStopped, PromptTooLong
from bot.messages import ChannelKey, ChatMessage, Engine, Prompt, Sampling
from trainer.errors import SourceRefused

LONGEST_WAIT_SECONDS = 60.0
SHARED_TOKENS = 64  # a beginning that many questions have in common is worth keeping from here on


class TeacherSettings(Section):
    """Who is asked. The same fields stand in every stage that asks somebody."""

    teacher: str = ""  # empty: nobody; starter, a model as in engine.model, or the address of an OpenAI-compatible server
    teacher_model: str = ""  # the server's name of the model
    teacher_key_env: str = "TROUPE_REMOTE_KEY"
    models: Path = Path("gguf")
    concurrent: int = Field(8, ge=1, le=256)
    context_tokens: int = Field(4096, ge=512)
    tries: int = Field(6, ge=1)  # of one question, while the server fails or has too much to do
    wait_seconds: float = Field(2.0, ge=0)  # before the second try; doubled each time, a minute at most
    timeout_seconds: float = Field(120, gt=0)  # for one answer of a server
    per_minute: float = Field(0, ge=0)  # questions a minute, tries too; 0: as fast as they are answered
    price_read: float = Field(0, ge=0)  # of a million tokens, for the estimate
    price_write: float = Field(0, ge=0)

    def asked(self) -> dict[str, object]:
        """What decides the answers; the rest decides only how fast and how patiently they are got."""
        return self.model_dump(mode="json", exclude=_HOW)


_HOW = {
    *("seed", "models", "concurrent", "teacher_key_env", "tries", "wait_seconds"),
    *("timeout_seconds", "per_minute", "price_read", "price_write"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    finished: bool  # the model ended it; else it was cut off at the limit
    tokens: int
    read: int = 0  # tokens of the question


class Teacher:
    """Asks one engine, several questions at once; an answer is given whole."""

    def __init__(self, engine: Engine, settings: TeacherSettings) -> None:
        self.engine = engine
        self.template = ChatTemplate(engine.tokenizer)
        self._settings = settings
        self._beginnings: dict[ChatMessage, list[int]] = {}
        self._pace = asyncio.Lock()
        self._next = 0.0  # the loop's time from which the next question may go out

    @property
    def name(self) -> str:
        return self.engine.build

    def count(self, text: str) -> int:
        return len(self.engine.tokenizer.encode(text, special=False))

    async def ask(self, messages: Sequence[ChatMessage], sampling: Sampling, about: str, *, again: bool = False) -> Answer:
        """As :meth:`answer`."""
        return await self.answer(self.prompt(messages, again=again), sampling, about)

    def prompt(self, messages: Sequence[ChatMessage], *, again: bool = False) -> Prompt:
        """Questions with the same first message share its reading; those that come ``again`` share all of it."""
        tokens = encode(self.template.segments(messages, reply_follows=True), self.engine.tokenizer)
        shared = len(tokens) - 1 if again else self._shared(messages[0], tokens) if len(messages) > 1 else 0
        return Prompt(tuple(tokens), shared, tuple(messages))

    async def answer(self, prompt: Prompt, sampling: Sampling, about: str) -> Answer:
        """``about`` names the question, for fair shares. A server that fails for the moment is asked again, later each time.

        Raises:
            EngineError: it still failed at the last try, or fails for good.
        """
        for attempt in range(1, self._settings.tries + 1):
            await self._wait_for_turn()
            try:
                return await self._answer(prompt, sampling, about)
            except EngineError as error:
                if attempt == self._settings.tries or not passes(error):
                    raise
                # Half of it by chance, so that many that were refused together do not come back together.
                wait = min(self._settings.wait_seconds * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS)
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable")

    async def _wait_for_turn(self) -> None:
        if not self._settings.per_minute:
            return
        loop = asyncio.get_running_loop()
        async with self._pace:
            now = loop.time()
            mine = max(now, self._next)
            self._next = mine + 60 / self._settings.per_minute
        await asyncio.sleep(mine - now)

    def _shared(self, first: ChatMessage, tokens: Sequence[int]) -> int:
        beginning = self._beginnings.get(first)
        if beginning is None:
            if len(self._beginnings) > 256:
                self._beginnings.clear()
            beginning = encode(self.template.segments([first], reply_follows=False), self.engine.tokenizer)
            self._beginnings[first] = beginning
        same = 0
        for one, other in zip(beginning, tokens, strict=False):
            if one != other:
                break
            same += 1
        return same if same >= SHARED_TOKENS else 0

    async def _answer(self, prompt: Prompt, sampling: Sampling, about: str) -> Answer:
        text, finished, tokens, read = "", False, 0, len(prompt.tokens)
        async with aclosing(self.engine.stream(prompt, sampling, channel=ChannelKey("teacher", about))) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                text += piece.text
                tokens, read = piece.counters.reply_tokens, piece.counters.prompt_tokens or read
                finished = piece.finish_reason == "stop"
        return Answer(text.strip(), finished, tokens, read)


def passes(error: EngineError) -> bool:
    """Whether the same question may be answered a moment later: a server's bad moment, and not a wrong key or too long a prompt."""
    if isinstance(error, PromptTooLong | EngineStopped):
        return False
    cause = error.__cause__
    return not isinstance(cause, openai.APIStatusError) or cause.status_code >= 500 or cause.status_code in (408, 409, 425, 429)


@asynccontextmanager
async def open_teacher(settings: TeacherSettings) -> AsyncIterator[Teacher]:
    """The teacher that the settings name, closed when left.

    Raises:
        SourceRefused: they name nobody.
        ModelNotLoadable, EngineError: it cannot be had.
    """
    if not settings.teacher:
        raise SourceRefused("no teacher is named; add --teacher starter, a GGUF file, or a server's address like http://127.0.0.1:8081/v1")
    engine = await _engine(settings)
    try:
        yield Teacher(engine, settings)
    finally:
        await engine.close()


async def _engine(settings: TeacherSettings) -> LlamaEngine | RemoteEngine:
    if settings.teacher.startswith(("http://", "https://")):
        return RemoteEngine(
            RemoteSettings(
                base_url=settings.teacher,
                model=settings.teacher_model,
                api_key_env=settings.teacher_key_env,
                context_tokens=settings.context_tokens,
                concurrent=settings.concurrent,
                timeout_seconds=settings.timeout_seconds,
            )
        )
    untuned = settings.teacher == STARTER
    embedded = EngineSettings(
        model=str((await asyncio.to_thread(prepare_untuned, settings.models)).path) if untuned else settings.teacher,
        context_tokens=settings.context_tokens,
        live_replies=min(settings.concurrent, 8),  # each takes a whole context of the cache
        chunk_tokens=512,  # nobody watches the words come, so a prompt may hold up the replies beside it
        parked_megabytes=512,  # what the questions of a whole company begin with
        prefix_megabytes=0,  # it is of use to nobody else
    )
    return await LlamaEngine.load(embedded, settings.models)
