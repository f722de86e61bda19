"""``troupe bench --tune``: which threads, attention, cache and batches are quickest here, by raw steps of llama.cpp.

Candidates take turns in each round, as everything that is measured on a machine that others use, too. What is usual is left for
something else only where that is clearly quicker. Batches come last, for what was chosen by then.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.table import Table

from bot.config import EngineSettings
from bot.engine.models import ModelFile
from bot.engine.native import Context, Model
from bot.engine.threads import usable_cores
from bot.engine.tuning import USUAL_BATCH_TOKENS, Choice, gpu_layers

ROUNDS: Final = 3
CLEARLY: Final = 0.95  # of the usual one's time
_SHARE: Final = 448  # tokens that a conversation has behind it
_READ: Final = 512
_STEPS: Final = 4
_SMALLER_BATCHES: Final = (128, 256)


@dataclass(frozen=True, slots=True)
class Measured:
    """Median seconds of one choice."""

    choice: Choice
    step: float  # a token for every live reply
    read: float  # _READ tokens of a prompt

    @property
    def turn(self) -> float:
        """What a reply of 48 tokens in every channel takes, each to a message of 100 tokens."""
        return 48 * self.step + self.read / _READ * 100


def tune(settings: EngineSettings, file: ModelFile, tick: Callable[[], None] = lambda: None) -> tuple[Choice, Table]:
    """The quickest choice, and what was measured. Takes a minute or two with the starter; ``tick`` is called ``ticks()`` times."""
    model = Model(file.path, gpu_layers=gpu_layers(settings))
    usual, *others = _candidates(settings)
    first = _compare(model, settings, [usual, *others], tick)
    chosen = _clearly_best(first, lambda measured: measured.turn)
    batches = [chosen.model_copy(update={"batch_tokens": size}) for size in _SMALLER_BATCHES]
    second = _compare(model, settings, [chosen, *batches], tick)
    chosen = _clearly_best(second, lambda measured: measured.read)  # a step of replies fills no batch
    return chosen, _table([*first, *second[1:]], chosen)


def ticks(settings: EngineSettings) -> int:
    return ROUNDS * (len(_candidates(settings)) + 1 + len(_SMALLER_BATCHES))


def _candidates(settings: EngineSettings) -> list[Choice]:
    """The usual one first."""
    cores, flash = usable_cores(), "on" if gpu_layers(settings) else "off"
    usual = Choice(threads=cores, cache_type="f16", flash_attention=flash, batch_tokens=USUAL_BATCH_TOKENS)
    others: list[dict[str, object]] = [
        {"flash_attention": "off" if flash == "on" else "on"},
        {"flash_attention": "on", "cache_type": "q8_0"},
    ]
    others += [{"threads": threads} for threads in sorted({max(1, cores - 1), max(1, cores // 2)} - {cores})]
    return [usual, *(usual.model_copy(update=other) for other in others)]


def _clearly_best(found: Sequence[Measured], seconds: Callable[[Measured], float]) -> Choice:
    """The quickest, unless the first is nearly as quick."""
    best = min(found, key=seconds)
    return best.choice if seconds(best) < CLEARLY * seconds(found[0]) else found[0].choice


def _compare(model: Model, settings: EngineSettings, candidates: Sequence[Choice], tick: Callable[[], None]) -> list[Measured]:
    times: dict[int, list[tuple[float, float]]] = {n: [] for n in range(len(candidates))}
    for _round in range(ROUNDS):
        for n, candidate in enumerate(candidates):
            with _Steps(model, settings, candidate) as steps:
                times[n].append((steps.replies(), steps.reading()))
            tick()
    medians = {n: [statistics.median(values) for values in zip(*found, strict=True)] for n, found in times.items()}
    return [Measured(candidate, *medians[n]) for n, candidate in enumerate(candidates)]


class _Steps:
    """A context in which every reply has _SHARE tokens behind it."""

    def __init__(self, model: Model, settings: EngineSettings, choice: Choice) -> None:
        self._live = settings.live_replies
        self._batch = max(choice.batch_tokens, self._live)
        self._context = Context(
            model,
            cells=1024 * self._live,
            sequences=self._live,
            batch_tokens=self._batch,
            outputs=self._live,
            threads=choice.threads,
            cache_type=choice.cache_type,
            flash_attention=choice.flash_attention,
            unified=False,
        )
        self._vocabulary = model.vocabulary

    def __enter__(self) -> _Steps:
        self._read(0, _SHARE)
        state = self._context.save(0)
        for sequence in range(1, self._live):
            self._context.load(sequence, state)
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def replies(self) -> float:
        times = [self._decode([(sequence, _SHARE + step) for sequence in range(self._live)], output=True) for step in range(_STEPS)]
        return statistics.median(times)

    def reading(self) -> float:
        self._context.trim(0, _SHARE)
        return self._read(_SHARE, _READ)

    def _read(self, start: int, count: int) -> float:
        """Seconds for so many tokens of one prompt, a batch at a time."""
        end = start + count
        return sum(
            self._decode([(0, position) for position in range(at, min(end, at + self._batch))]) for at in range(start, end, self._batch)
        )

    def _decode(self, tokens: Sequence[tuple[int, int]], *, output: bool = False) -> float:
        """Tokens as (sequence, position); seconds."""
        self._context.clear_batch()
        for sequence, position in tokens:
            self._context.add((97 + 31 * position + sequence) % self._vocabulary, position, sequence, output=output)
        began = time.perf_counter()
        self._context.decode()
        return time.perf_counter() - began


def _table(found: Sequence[Measured], chosen: Choice) -> Table:
    table = Table("threads", "flash attention", "cache", "batch", "step of all replies ms", f"reading {_READ} tokens ms", "a turn s", "")
    for measured in found:
        choice = measured.choice
        table.add_row(
            str(choice.threads),
            choice.flash_attention,
            choice.cache_type,
            str(choice.batch_tokens),
            f"{measured.step * 1000:.0f}",
            f"{measured.read * 1000:.0f}",
            f"{measured.turn:.1f}",
            "chosen" if choice == chosen else "",
        )
    return table
