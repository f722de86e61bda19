"""The embedded engine, as the rest of the house sees it: one model, many replies at once."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, Self

from bot.config import EngineSettings
from bot.engine import native
from bot.engine.models import ModelFile, find_model
from bot.engine.native import Context, Model
from bot.engine.prefix_files import PrefixFiles
from bot.engine.requests import Request
from bot.engine.room import check_fits, slot_tokens
from bot.engine.scheduler import Scheduler, Status
from bot.engine.tokenizer import LlamaTokenizer
from bot.engine.tuning import Choice, choose, gpu_layers
from bot.errors import EngineError, PromptTooLong
from bot.messages import ChannelKey, Piece, Prompt, Sampling

log = logging.getLogger(__name__)

_CELLS_GRAIN: Final = 256  # llama.cpp rounds a stream up to so many tokens


class LlamaEngine:
    """A ``bot.messages.Engine`` on llama.cpp. It belongs to the event loop that loaded it."""

    def __init__(self, scheduler: Scheduler, model: Model, file: ModelFile, context_tokens: int) -> None:
        self._scheduler = scheduler
        self._model = model
        self._vocabulary = model.vocabulary
        self._tokenizer = LlamaTokenizer(model)
        self._build = file.build
        self._context_tokens = context_tokens

    @classmethod
    async def load(cls, settings: EngineSettings, models: Path) -> Self:
        """Find or make the model file, and load it; nothing of this blocks the event loop.

        Raises:
            ModelNotLoadable: a sentence that says what to do.
        """
        file = await asyncio.to_thread(_find_and_measure, settings, models)
        choice = choose(settings, file)
        files = _prefix_files(settings, choice, file, models)
        scheduler = Scheduler(
            settings, lambda: _open_context(settings, choice, file), files, asyncio.get_running_loop(), batch_tokens=choice.batch_tokens
        )
        model = await asyncio.wrap_future(scheduler.start())
        context_tokens = slot_tokens(model, settings)
        if context_tokens < settings.context_tokens:
            log.warning("context is smaller than asked asked=%d trained=%d", settings.context_tokens, context_tokens)
        log.info("model loaded build=%s context_tokens=%d live_replies=%d %s", file.build, context_tokens, settings.live_replies, choice)
        return cls(scheduler, model, file, context_tokens)

    @property
    def tokenizer(self) -> LlamaTokenizer:
        return self._tokenizer

    @property
    def context_tokens(self) -> int:
        return self._context_tokens

    @property
    def build(self) -> str:
        return self._build

    @property
    def status(self) -> Status:
        """What it is doing, as of its last step."""
        return self._scheduler.status

    def forget(self, channel: ChannelKey | None = None) -> None:
        """Keep nothing in memory of what was said in a channel; without one, of anything. It is read again when somebody goes on.

        Replies that are being made keep their slots until they end.
        """
        self._scheduler.forget(channel)

    def position(self, channel: ChannelKey) -> int | None:
        """How many replies are made before this channel's next: 0 while it is being made, None if it waits for nothing."""
        return self._scheduler.position(channel)

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
        """As ``bot.messages.Engine.stream``. With ``endless`` the reply always has ``max_tokens`` tokens, for benchmarks."""
        self._check(prompt.tokens, sampling.max_tokens)
        if sampling.grammar:
            native.check_grammar(self._model, sampling.grammar)
        request = Request(list(prompt.tokens), prompt.prefix_tokens, sampling, channel, person, background, endless)
        self._scheduler.submit(request)
        try:
            while True:
                item = await request.mailbox.get()
                if isinstance(item, EngineError):
                    raise item
                yield item
                if item.finish_reason is not None:
                    return
        finally:
            self._scheduler.cancel(request)

    async def warm(self, prefix: Sequence[int]) -> None:
        """Evaluate a character's prefix while nobody needs the engine, so that its first reply begins at once.

        Raises:
            PromptTooLong, EngineBusy, EngineStopped
        """
        self._check(prefix, 1)
        request = Request(list(prefix), len(prefix), Sampling(max_tokens=0), channel=None, background=True)
        self._scheduler.submit(request)
        try:
            item = await request.mailbox.get()
        finally:
            self._scheduler.cancel(request)
        if isinstance(item, EngineError):
            raise item

    async def ended(self) -> None:
        """Return when the engine's thread is gone: after ``close``, or because it died. Nothing answers any more then."""
        await self._scheduler.ended.wait()

    async def close(self) -> None:
        """Stop, also in the middle of a step; replies that are being made end with ``EngineStopped``. May be called again."""
        self._scheduler.stop()
        await asyncio.to_thread(self._scheduler.join)

    def _check(self, tokens: Sequence[int], reply: int) -> None:
        limit = self._context_tokens - reply
        if len(tokens) > limit:
            raise PromptTooLong(len(tokens), max(0, limit))
        if not tokens:
            raise EngineError("the prompt is empty; there is nothing to answer")
        if min(tokens) < 0 or max(tokens) >= self._vocabulary:
            raise EngineError("the prompt has tokens that this model does not know; it was rendered for another one")


def _find_and_measure(settings: EngineSettings, models: Path) -> ModelFile:
    file = find_model(settings.model, models)
    check_fits(Model(file.path, vocabulary_only=True), settings)
    return file


def _open_context(settings: EngineSettings, choice: Choice, file: ModelFile) -> Context:
    """One stream of the cache for each live reply, without flash attention on a CPU unless ``troupe bench --tune`` found it quicker.

    Tokens/s of eight replies together / of reading a prompt beside them, on the starter (2 threads; 900 tokens that all share and
    500 of their own, which a unified cache holds once and has every token look through for everybody):

                            decode      read        8 replies of 250 + 250 tokens
        flash, unified      44          369         87
        flash, streams      46          418         92
        no flash, unified   85          149         126
        no flash, streams   96          316         146

    That was an Intel Xeon. On an AMD EPYC (Zen 4) streams with flash attention decode 1.13 and read 1.24 times as fast as without.
    """
    model = Model(file.path, gpu_layers=gpu_layers(settings))
    slots = settings.live_replies
    return Context(
        model,
        cells=-(-slot_tokens(model, settings) // _CELLS_GRAIN) * _CELLS_GRAIN * slots,
        sequences=slots,
        batch_tokens=choice.batch_tokens,
        outputs=slots,
        threads=choice.threads,
        cache_type=choice.cache_type,
        flash_attention=choice.flash_attention,
        unified=False,
    )


def _prefix_files(settings: EngineSettings, choice: Choice, file: ModelFile, models: Path) -> PrefixFiles | None:
    if not settings.prefix_megabytes:
        return None
    identity = (
        file.identity,
        choice.cache_type,
        choice.flash_attention,  # values lie in another order without it
        gpu_layers(settings),
        settings.live_replies,  # llama.cpp writes one entry for each stream
        importlib.metadata.version("llama-cpp-python"),
    )
    return PrefixFiles(models / "prefixes", identity, settings.prefix_megabytes * 1_000_000)
