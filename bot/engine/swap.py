"""The model changes while people talk: the new one is loaded beside the old, proven, and answers whatever begins from then on.

Whoever holds the old one goes on with it to the end of the turn; then it is freed. A model that cannot be loaded or does not
pass its proof never answers anybody, and ``gguf/current`` names the old one again, so that a restart finds what works.

A canary is a model that ``gguf/canary`` names: a share of the channels, always the same ones, has it until somebody decides
(``adopt``, ``give_up``). It has a scheduler and a cache of its own, as large as its share needs.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
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
from bot.messages import ChannelKey, Engine, Piece, Prompt, Sampling, Tokenizer

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
class Canary:
    """A model that a share of the channels has."""

    build: str
    share: float
    status: Status

    def has(self, channel: ChannelKey) -> bool:
        """The same answer every time, and for every process: a conversation does not change its voice from turn to turn."""
        drawn = hashlib.sha256(f"{self.build} {channel}".encode("utf-8", "surrogatepass")).digest()[:4]
        return int.from_bytes(drawn) / 2**32 < self.share


@dataclass(slots=True, eq=False)
class _Tried:
    served: _Served
    canary: Canary
    watching: asyncio.Task[None] | None = None  # whether its thread lives


@dataclass(frozen=True, slots=True)
class Swapped:
    build: str
    before: str
    seconds: float  # of loading, proving and preparing, during which the one before went on


class SwappingEngine:
    """A ``bot.messages.Engine`` whose model may change. It belongs to the event loop that loaded it."""

    def __init__(self, settings: EngineSettings, folder: Path, engine: LlamaEngine, canary_share: float = 0.0) -> None:
        self._settings = settings
        self._folder = folder
        self._share = canary_share
        self._served = _Served(engine)
        self._tried: _Tried | None = None
        self._swapping = asyncio.Lock()
        self._leaving: asyncio.Task[None] | None = None
        self._seen = _as_named(folder)
        self._closed = False
        # Reads what conversations will begin with on a model that is about to be served; the house sets it.
        self.prepare: Prepare | None = None
        # Hears of a model's end, so that nothing keeps its tokenizer, and with it the model, in memory; the house sets it.
        self.left: Callable[[Tokenizer], None] = _nobody_minds
        self.refused = ""  # why the last one was not taken; "" when it was

    @classmethod
    async def load(cls, settings: EngineSettings, folder: Path, canary_share: float = 0.0) -> Self:
        """Raises ``ModelNotLoadable``: a sentence that says what to do."""
        engine = await LlamaEngine.load(settings, folder)
        return cls(settings, folder, engine, canary_share)

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

    @property
    def canary(self) -> Canary | None:
        """The model that a share of the channels has, where there is one."""
        return None if self._tried is None else replace(self._tried.canary, status=self._tried.served.engine.status)

    def position(self, channel: ChannelKey) -> int | None:
        return self._of(channel).engine.position(channel)

    @contextmanager
    def hold(self, channel: ChannelKey | None = None) -> Iterator[LlamaEngine]:
        """The engine of now for a channel. It serves whoever holds it until they let go, whatever is swapped in meanwhile.

        A turn holds one from its prompt to its stamp, so that the prompt is in the model's own tokens and the stamp tells the truth.
        """
        served = self._of(channel)
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
        with self.hold(channel) as engine:
            # A generator, as in LlamaEngine: it has to be closed when this one is.
            stream = engine.stream(prompt, sampling, channel=channel, person=person, background=background, endless=endless)
            async with aclosing(stream) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    yield piece

    async def warm(self, prefix: Sequence[int]) -> None:
        with self.hold() as engine:
            await engine.warm(prefix)

    def forget(self, channel: ChannelKey | None = None) -> None:
        """On the engines of now. One that is on its way out takes what it holds with it."""
        self._served.engine.forget(channel)
        if self._tried is not None:
            self._tried.served.engine.forget(channel)

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
        self._take_away()
        leaving = self._leaving
        if leaving is not None:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        await self._served.engine.close()

    def _of(self, channel: ChannelKey | None) -> _Served:
        tried = self._tried
        return tried.served if tried is not None and channel is not None and tried.canary.has(channel) else self._served

    # ------------------------------------------------------------------ swapping

    async def watch(self, seconds: float) -> None:
        """Look at ``gguf/current`` and ``gguf/canary`` every so often, and do as they say. Ends by being cancelled."""
        while self.follows_current:
            await asyncio.sleep(seconds)
            try:
                if await asyncio.to_thread(_as_named, self._folder) != self._seen:
                    await self.swap()
                await self.try_out()
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
            self._let_go(old)
            done = Swapped(fresh.build, before, time.monotonic() - began)
            log.info("model swapped build=%s before=%s seconds=%.1f turns_ending_on_it=%d", done.build, before, done.seconds, old.turns)
            return done

    async def _loaded(self, before: str) -> LlamaEngine | None:
        self._seen = await asyncio.to_thread(_as_named, self._folder)
        file = await asyncio.to_thread(models.find_model, CURRENT, self._folder)
        if file.build == before and file.sha256 is not None:
            return None
        if self._take_away():  # what was tried was tried against the one that leaves
            await asyncio.to_thread(models.end_canary, self._folder, f"another model was chosen: {file.build}")
        return await self._proven(file, self._settings)

    async def _proven(self, file: ModelFile, settings: EngineSettings) -> LlamaEngine:
        if self._leaving is not None:
            await self._leaving
        if self._closed:
            raise ModelNotLoadable(f"{file.build} was not loaded, because Troupe is going home")
        await asyncio.to_thread(_check_layout, file)
        engine = await LlamaEngine.load(settings.model_copy(update={"model": str(file.path)}), self._folder)
        try:
            await _prove(engine, file)
            if self.prepare is not None:
                await self.prepare(engine)
        except BaseException:
            await engine.close()
            raise
        return engine

    def _let_go(self, served: _Served) -> None:
        self._leaving = asyncio.create_task(self._free(served), name=f"free {served.engine.build}")

    async def _free(self, served: _Served) -> None:
        try:
            await served.idle.wait()
        finally:
            await served.engine.close()
            self.left(served.engine.tokenizer)
            log.info("model freed build=%s", served.engine.build)

    # ------------------------------------------------------------------ a share of the channels

    async def try_out(self) -> Canary | None:
        """Give the model that ``gguf/canary`` names to its share of the channels; None where there is nothing, or nothing new.

        Raises:
            ModelNotLoadable: nobody tries it, the file that named it is gone, and the sentence says why.
        """
        async with self._swapping:
            name = await asyncio.to_thread(models.canary_name, self._folder)
            tried = self._tried
            if tried is not None and name == tried.canary.build.partition("@")[0]:
                return None
            if self._take_away():
                log.info("canary ended build=%s", tried.canary.build if tried else "")
            if not name:
                return None
            try:
                return await self._tried_out(name)
            except BotError as error:
                self.refused = str(error)
                await asyncio.to_thread(models.end_canary, self._folder, f"not tried: {error}")
                raise ModelNotLoadable(f"{error}; nobody tries it, {self.build} goes on") from error

    async def _tried_out(self, name: str) -> Canary:
        if not self._share:
            raise ModelNotLoadable(f"{name} has no share of the channels; set canary.share, or give it to everybody")
        path = self._folder / f"{name}.gguf"
        file = await asyncio.to_thread(models.check, path)
        engine = await self._proven(file, _for_share(self._settings, self._share))
        tried = _Tried(_Served(engine), Canary(engine.build, self._share, engine.status))
        tried.watching = asyncio.create_task(self._mourn(tried), name=f"watch {engine.build}")
        self._tried = tried
        self.refused = ""
        log.info("canary begins build=%s share=%g beside=%s", engine.build, self._share, self.build)
        return tried.canary

    async def adopt(self, came_of_it: str) -> Swapped | None:
        """Give everybody what a share of the channels has tried. None: nobody tries anything.

        Raises:
            ModelNotLoadable: what everybody else has goes on, for all.
        """
        tried = self._tried
        if tried is None:
            return None
        name = tried.canary.build.partition("@")[0]
        await self.give_up(came_of_it)
        await asyncio.to_thread(models.set_current, self._folder, name)
        return await self.swap()

    async def give_up(self, came_of_it: str) -> str:
        """Take away what a share of the channels has; what they began with it they end. Returns its build, "" for none."""
        async with self._swapping:
            tried = self._tried
            if not self._take_away() or tried is None:
                return ""
            await asyncio.to_thread(models.end_canary, self._folder, came_of_it)
            log.info("canary ended build=%s came_of_it=%s", tried.canary.build, came_of_it)
            return tried.canary.build

    def _take_away(self) -> bool:
        tried, self._tried = self._tried, None
        if tried is None:
            return False
        if tried.watching is not None and tried.watching is not asyncio.current_task():
            tried.watching.cancel()
        self._let_go(tried.served)
        return True

    async def _mourn(self, tried: _Tried) -> None:
        """A canary whose thread dies takes nobody with it."""
        await tried.served.engine.ended()
        if self._tried is tried:
            self.refused = f"{tried.canary.build} died while it was tried; the log says where"
            await self.give_up(self.refused)


def _for_share(settings: EngineSettings, share: float) -> EngineSettings:
    """A cache for so many of the channels, and no more memory than that."""
    return settings.model_copy(
        update={
            "live_replies": max(1, math.ceil(settings.live_replies * share)),
            "parked_megabytes": math.ceil(settings.parked_megabytes * share),
        }
    )


def _nobody_minds(_tokenizer: Tokenizer) -> None:
    """Until the house says who does."""


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
