"""The model changes while people talk: the new one is loaded beside the old, proven, and answers whatever begins from then on.

Whoever holds the old one goes on with it to the end of the turn; then it is freed. A model that cannot be loaded or does not
pass its proof never answers anybody, and ``gguf/current`` names the old one again, so that a restart finds what works.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from bot.characters.prompt import PROMPT_VERSION
from bot.config import EngineSettings
from bot.engine import models
from bot.engine.engine import LlamaEngine
from bot.engine.models import ModelFile
from bot.engine.scheduler import Status
from bot.engine.tokenizer import LlamaTokenizer
from bot.errors import BotError, ModelNotLoadable
from bot.messages import ChannelKey, Engine, Piece, Prompt, Sampling

log = logging.getLogger(__name__)

CURRENT: Final = "current"
_PROOF_CHANNEL: Final = ChannelKey("engine", "proof")
_PROOF_TEXT: Final = "Good evening. Who is there?"
_PROOF: Final = Sampling(temperature=0.0, max_tokens=4)

Prepare = Callable[[Engine], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Served:
    """An engine, and how many turns hold it."""

    engine: LlamaEngine
    turns: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.idle.set()


@dataclass(frozen=True, slots=True)
class Swapped:
    build: str
    before: str
    seconds: float  # of loading, proving and preparing, during which the one before went on


class SwappingEngine:
    """A ``bot.messages.Engine`` whose model may change. It belongs to the event loop that loaded it."""

    def __init__(self, settings: EngineSettings, folder: Path, engine: LlamaEngine) -> None:
        self._settings = settings
        self._folder = folder
        self._served = _Served(engine)
        self._swapping = asyncio.Lock()
        self._leaving: asyncio.Task[None] | None = None
        self._seen = _as_named(folder)
        self._closed = False
        # Reads what conversations will begin with on a model that is about to be served; the house sets it.
        self.prepare: Prepare | None = None
        self.refused = ""  # why the last one was not taken; "" when it was

    @classmethod
    async def load(cls, settings: EngineSettings, folder: Path) -> Self:
        """Raises ``ModelNotLoadable``: a sentence that says what to do."""
        engine = await LlamaEngine.load(settings, folder)
        return cls(settings, folder, engine)

    @property
    def follows_current(self) -> bool:
        """Whether ``gguf/current`` decides; else a path in config.toml does, for as long as this process runs."""
        return self._settings.model == CURRENT

    @property
    def tokenizer(self) -> LlamaTokenizer:
        return self._served.engine.tokenizer

    @property
    def context_tokens(self) -> int:
        return self._served.engine.context_tokens

    @property
    def build(self) -> str:
        return self._served.engine.build

    @property
    def status(self) -> Status:
        return self._served.engine.status

    def position(self, channel: ChannelKey) -> int | None:
        return self._served.engine.position(channel)

    @contextmanager
    def hold(self) -> Iterator[LlamaEngine]:
        """The engine of now. It serves whoever holds it until they let go, whatever is swapped in meanwhile.

        A turn holds one from its prompt to its stamp, so that the prompt is in the model's own tokens and the stamp tells the truth.
        """
        served = self._served
        served.turns += 1
        served.idle.clear()
        try:
            yield served.engine
        finally:
            served.turns -= 1
            if not served.turns:
                served.idle.set()

    async def stream(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        channel: ChannelKey,
        person: str = "",
        background: bool = False,
        endless: bool = False,
    ) -> AsyncIterator[Piece]:
        """As ``LlamaEngine.stream``, on the model of this moment. What was rendered earlier belongs on the one that is held."""
        with self.hold() as engine:
            # A generator, as in LlamaEngine: it has to be closed when this one is.
            stream = engine.stream(prompt, sampling, channel=channel, person=person, background=background, endless=endless)
            async with aclosing(stream) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    yield piece

    async def warm(self, prefix: Sequence[int]) -> None:
        with self.hold() as engine:
            await engine.warm(prefix)

    def forget(self, channel: ChannelKey | None = None) -> None:
        """On the engine of now. One that is on its way out takes what it holds with it."""
        self._served.engine.forget(channel)

    async def ended(self) -> None:
        """Return when the engine that answers is gone: after ``close``, or because its thread died. One that was swapped out may go."""
        while True:
            served = self._served
            await served.engine.ended()
            if served is self._served:
                return

    async def close(self) -> None:
        """Stop both, where there are two. May be called again."""
        self._closed = True
        leaving = self._leaving
        if leaving is not None:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        await self._served.engine.close()

    # ------------------------------------------------------------------ swapping

    async def watch(self, seconds: float) -> None:
        """Look at ``gguf/current`` every so often, and serve what it names when that has changed. Ends by being cancelled."""
        while self.follows_current:
            await asyncio.sleep(seconds)
            seen = await asyncio.to_thread(_as_named, self._folder)
            if seen == self._seen:
                continue
            try:
                await self.swap()
            except BotError as error:
                log.warning("model not taken build_goes_on=%s error=%s", self.build, error)

    async def swap(self) -> Swapped | None:
        """Serve what ``gguf/current`` names now. None: it is served already.

        Replies that have begun end on the model that began them, which is freed after the last. Two models at most are in memory:
        a third waits until the first is gone.

        Raises:
            ModelNotLoadable: the old one goes on, ``gguf/current`` names it again, and the sentence says why.
        """
        async with self._swapping:
            before = self.build
            began = time.monotonic()
            try:
                fresh = await self._loaded(before)
            except BotError as error:
                self.refused = str(error)
                await asyncio.to_thread(models.put_back, self._folder, before.rpartition(":")[2].partition("@")[0])
                self._seen = await asyncio.to_thread(_as_named, self._folder)
                raise ModelNotLoadable(f"{error}; {before} goes on") from error
            self.refused = ""
            if fresh is None:
                return None
            old, self._served = self._served, _Served(fresh)
            self._leaving = asyncio.create_task(_free(old), name=f"free {before}")
            done = Swapped(fresh.build, before, time.monotonic() - began)
            log.info("model swapped build=%s before=%s seconds=%.1f turns_ending_on_it=%d", done.build, before, done.seconds, old.turns)
            return done

    async def _loaded(self, before: str) -> LlamaEngine | None:
        self._seen = await asyncio.to_thread(_as_named, self._folder)
        file = await asyncio.to_thread(models.find_model, CURRENT, self._folder)
        if file.build == before and file.sha256 is not None:
            return None
        if self._leaving is not None:
            await self._leaving
        if self._closed:
            raise ModelNotLoadable(f"{file.build} was not loaded, because Troupe is going home")
        await asyncio.to_thread(_check_layout, file)
        engine = await LlamaEngine.load(self._settings.model_copy(update={"model": CURRENT}), self._folder)
        try:
            await _prove(engine, file)
            if self.prepare is not None:
                await self.prepare(engine)
        except BaseException:
            await engine.close()
            raise
        return engine


async def _free(served: _Served) -> None:
    try:
        await served.idle.wait()
    finally:
        await served.engine.close()
        log.info("model freed build=%s", served.engine.build)


def _as_named(folder: Path) -> tuple[object, ...]:
    """What ``gguf/current`` names and which file that is, cheaply: a build may be published again under its name."""
    name = models.current_name(folder)
    return (name, *(_stamp(folder / f"{name}{ending}") for ending in (".gguf", ".manifest.json")))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        known = path.stat()
    except OSError:
        return None
    return known.st_mtime_ns, known.st_size


def _check_layout(file: ModelFile) -> None:
    """A model that was tuned on another layout of the prompt would answer, and worse than it was measured."""
    version = (models.read_manifest(file.path) or {}).get("prompt_version")
    if version is not None and version != PROMPT_VERSION:
        raise ModelNotLoadable(
            f"{file.build} was tuned on prompt version {version} and this Troupe renders {PROMPT_VERSION}; tune it again"
        )


async def _prove(engine: LlamaEngine, file: ModelFile) -> None:
    """Parity with what was published: it is the file that was checked, reads text as its trainer did, and says something.

    Raises:
        ModelNotLoadable
    """
    if engine.build != file.build:
        raise ModelNotLoadable(f"{file.build} was changed while it was loaded; choose it again")
    proof = (models.read_manifest(file.path) or {}).get("proof") or {}
    text, expected = proof.get("text", _PROOF_TEXT), proof.get("tokens")
    tokens = engine.tokenizer.encode(text, special=False)
    if expected is not None and tokens != expected:
        raise ModelNotLoadable(f"{file.build} fails parity: it reads text as other tokens than its trainer did; export it again")
    spoken = 0
    async with aclosing(engine.stream(Prompt(tuple(tokens), 0, ()), _PROOF, channel=_PROOF_CHANNEL)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            spoken = max(spoken, piece.counters.reply_tokens)
    if not spoken and engine.tokenizer.eos:
        log.info("the model ends the proof at once build=%s", engine.build)
