"""A teacher: any engine of the bot's, asked for one text at a time. Knows nothing of what is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from bot.characters.template import ChatTemplate, encode
from bot.config import EngineSettings, Section
from bot.config import RemoteEngine as RemoteSettings
from bot.engine.engine import LlamaEngine
from bot.engine.remote import RemoteEngine
from bot.errors import EngineBusy
from bot.messages import ChannelKey, ChatMessage, Engine, Prompt, Sampling
from trainer.errors import SourceRefused

BUSY_SECONDS = 2.0  # to wait when a server has too much to do; doubled each time
BUSY_TIMES = 5


class TeacherSettings(Section):
    """Who is asked. The same fields stand in every stage that asks somebody."""

    teacher: str = ""  # empty: nobody; a model as in engine.model, or the address of an OpenAI-compatible server
    teacher_model: str = ""  # the server's name of the model
    teacher_key_env: str = "TROUPE_REMOTE_KEY"
    models: Path = Path("gguf")
    concurrent: int = Field(4, ge=1, le=64)
    context_tokens: int = Field(4096, ge=512)


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    finished: bool  # the model ended it; else it was cut off at the limit
    tokens: int


class Teacher:
    """Asks one engine, several questions at once; an answer is given whole."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._template = ChatTemplate(engine.tokenizer)

    @property
    def name(self) -> str:
        return self.engine.build

    def count(self, text: str) -> int:
        return len(self.engine.tokenizer.encode(text, special=False))

    async def ask(self, messages: Sequence[ChatMessage], sampling: Sampling, about: str) -> Answer:
        """Raises ``EngineError`` as the engine does; ``about`` keeps fair shares between questions."""
        tokens = encode(self._template.segments(messages, reply_follows=True), self.engine.tokenizer)
        return await self.answer(Prompt(tuple(tokens), 0, tuple(messages)), sampling, about)

    async def answer(self, prompt: Prompt, sampling: Sampling, about: str) -> Answer:
        """The same for a prompt that is rendered already. Waits for a server that has too much to do."""
        for attempt in range(BUSY_TIMES):
            try:
                return await self._answer(prompt, sampling, about)
            except EngineBusy:
                if attempt == BUSY_TIMES - 1:
                    raise
                await asyncio.sleep(BUSY_SECONDS * 2**attempt)
        raise AssertionError("unreachable")

    async def _answer(self, prompt: Prompt, sampling: Sampling, about: str) -> Answer:
        text, finished, tokens = "", False, 0
        async with aclosing(self.engine.stream(prompt, sampling, channel=ChannelKey("teacher", about))) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                text += piece.text
                tokens = piece.counters.reply_tokens
                finished = piece.finish_reason == "stop"
        return Answer(text.strip(), finished, tokens)


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
        yield Teacher(engine)
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
            )
        )
    embedded = EngineSettings(
        model=settings.teacher,
        context_tokens=settings.context_tokens,
        cache_tokens=settings.context_tokens * min(settings.concurrent, 4),
        live_replies=settings.concurrent,
    )
    return await LlamaEngine.load(embedded, settings.models)
