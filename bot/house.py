"""Building the rooms in the order in which they stand on each other, and closing them in reverse.

The only place besides ``__main__`` that knows every room; tests open the same house.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.characters.cast import Cast
from bot.characters.prompt import Layout, Renderers
from bot.commands.desk import Desk
from bot.config import Config, VoiceSettings
from bot.engine.embedding import LlamaEmbedder
from bot.engine.swap import SwappingEngine
from bot.errors import ConfigError
from bot.memory.store import Store
from bot.messages import Engine
from bot.retrieval.exemplars import Exemplars
from bot.retrieval.scenes import Scenes
from bot.sessions.company import Company
from bot.sessions.router import Router
from bot.sessions.session import Stage
from bot.voice.booth import Booth
from bot.voice.espeak import EspeakSpeaker
from bot.voice.recording import Recorder
from bot.voice.speech import Speaker

MOST_SCENE_LINES = 200  # that a prompt may show; their tokens are what is limited


@dataclass(frozen=True, slots=True)
class House:
    config: Config
    desk: Desk
    stage: Stage

    @property
    def router(self) -> Router:
        return self.desk.router


@asynccontextmanager
async def open_house(config: Config) -> AsyncIterator[House]:
    """Everything but the connectors.

    Raises:
        CardError, StoreError, EngineError: what could not be opened, in a sentence that says what to do.
    """
    cast = await asyncio.to_thread(Cast.load, config.paths.characters, config.characters)
    store = await Store.open(config.memory, config.paths.data)
    try:
        company = Company(cast, store, config.characters, config.paths.data / "portraits")
        await company.refresh()
        embedder = await _embedder(config)
        engine = await open_engine(config)
        try:
            renderers = Renderers(Layout(retrieved=_retrieved(config)))
            if isinstance(engine, SwappingEngine):
                engine.left = renderers.forget
            stage = Stage(config.sessions, config.retrieval, store, engine, renderers, Exemplars(), Scenes(embedder))
            router = Router(stage, company)
            try:
                async with open_booth(config) as booth:
                    desk = Desk(company, router, store, engine, config.paths.models, config.paths.data, booth)
                    yield House(config, desk, stage)
            finally:
                await router.close()
        finally:
            await engine.close()
            if embedder is not None:
                await asyncio.to_thread(embedder.close)
    finally:
        await store.close()


def _retrieved(config: Config) -> int:
    """How many lines a prompt may show for one turn; scenes are measured in tokens alone."""
    return config.retrieval.exemplars if config.retrieval.mode == "lines" else MOST_SCENE_LINES


async def _embedder(config: Config) -> LlamaEmbedder | None:
    """The encoder, where scenes are found by meaning.

    Raises:
        ConfigError, ModelNotLoadable: it is not named, or is none.
    """
    wanted = config.retrieval
    if wanted.mode != "scenes" or wanted.search == "bm25":
        return None
    if not wanted.embedder:
        raise ConfigError(
            f"retrieval.search is {wanted.search!r} and needs retrieval.embedder: name an encoder as a GGUF file, or use bm25"
        )
    return await asyncio.to_thread(lambda: LlamaEmbedder(Path(wanted.embedder).expanduser()))


async def open_engine(config: Config) -> Engine:
    """The embedded engine, or the remote one when ``[engine.remote] base_url`` is set."""
    if config.engine.remote.base_url:
        from bot.engine.remote import RemoteEngine  # its client takes most of a second to load, and few use it

        return RemoteEngine(config.engine.remote)
    return await SwappingEngine.load(config.engine, config.paths.models, config.canary.share)


def somebody_speaks(settings: VoiceSettings) -> bool:
    """Whether ``open_booth`` gives a booth; known without opening it."""
    return _asks_a_server(settings) or (settings.engine in ("auto", "espeak-ng") and EspeakSpeaker.find(settings) is not None)


def _asks_a_server(settings: VoiceSettings) -> bool:
    return bool(settings.base_url) and settings.engine in ("auto", "remote")


@asynccontextmanager
async def open_booth(config: Config) -> AsyncIterator[Booth | None]:
    """Where characters speak aloud; None where nobody can, which is no error."""
    speaker: Speaker | None = None
    if _asks_a_server(config.voice):
        from bot.voice.endpoint import EndpointSpeaker  # the same client as the remote engine's

        speaker = EndpointSpeaker(config.voice)
    elif config.voice.engine in ("auto", "espeak-ng"):
        speaker = EspeakSpeaker.find(config.voice)
    if speaker is None:
        yield None
        return
    booth = Booth(speaker, await asyncio.to_thread(Recorder.find))
    try:
        yield booth
    finally:
        await booth.close()


@contextmanager
def serving(data: Path) -> Iterator[None]:
    """Hold the data folder for one server.

    The lock is the operating system's: it goes with the process, however that ends.

    Raises:
        ConfigError: another server has it, or the folder cannot be written.
    """
    path = data / "serving.lock"
    try:
        data.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(f"{data}: cannot be written ({error.strerror}); set paths.data to a folder of yours") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise ConfigError(
                f"{data}: another Troupe is serving it (process {holder}); stop that one, or set paths.data to another folder"
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
