"""``troupe bench --tune``: which threads, attention, cache and chunks are quickest here, by raw steps of llama.cpp.

Candidates take turns in each round, as everything that is measured on a machine that others use, too. What is usual is left for
something else only where that is clearly quicker.
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
from bot.engine.tuning import USUAL_CHUNK_TOKENS, Choice, gpu_layers

ROUNDS: Final = 3
CLEARLY: Final = 0.95  # of the usual one's time
_SHARE: Final = 448  # tokens that a conversation has behind it
_READ: Final = 128
_STEPS: Final = 4
_GAP: Final = 3.0  # so many times as long may a step take in which a prompt is read, too
_CHUNKS: Final = (32, 48, 64, 96, 128, 192, 256)


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
    usual = _candidates(settings)[0]
    found = _compare(model, settings, _candidates(settings), tick)
    best = min(found, key=lambda measured: measured.turn)
    usually = next(measured for measured in found if measured.choice == usual)
    chosen = best.choice if best.turn < CLEARLY * usually.turn else usual
    chunks = _measure_chunks(model, settings, chosen, tick)
    alone = statistics.median(chunks[0])
    fitting = [size for size in _CHUNKS if size in chunks and statistics.median(chunks[size]) <= _GAP * alone]
    chosen = chosen.model_copy(update={"chunk_tokens": max(fitting, default=_CHUNKS[0])})
    return chosen, _table(found, chosen, chunks)


def ticks(settings: EngineSettings) -> int:
    return ROUNDS * (len(_candidates(settings)) + 1)


def _candidates(settings: EngineSettings) -> list[Choice]:
    """The usual one first."""
    cores, flash = usable_cores(), "on" if gpu_layers(settings) else "off"
    usual = Choice(threads=cores, cache_type="f16", flash_attention=flash, chunk_tokens=USUAL_CHUNK_TOKENS)
    others: list[dict[str, object]] = [
        {"flash_attention": "off" if flash == "on" else "on"},
        {"flash_attention": "on", "cache_type": "q8_0"},
    ]
    others += [{"threads": threads} for threads in sorted({max(1, cores - 1), max(1, cores // 2)} - {cores})]
    return [usual, *(usual.model_copy(update=other) for other in others)]


def _compare(model: Model, settings: EngineSettings, candidates: Sequence[Choice], tick: Callable[[], None]) -> list[Measured]:
    times: dict[int, list[tuple[float, float]]] = {n: [] for n in range(len(candidates))}
    for _round in range(ROUNDS):
        for n, candidate in enumerate(candidates):
            with _Steps(model, settings, candidate) as steps:
                times[n].append((steps.replies(), steps.reading(_READ)))
            tick()
    medians = {n: [statistics.median(values) for values in zip(*found, strict=True)] for n, found in times.items()}
    return [Measured(candidate, *medians[n]) for n, candidate in enumerate(candidates)]


def _measure_chunks(model: Model, settings: EngineSettings, choice: Choice, tick: Callable[[], None]) -> dict[int, list[float]]:
    """Seconds of a step of all replies but one, by the tokens of a prompt that are read in it; 0: none."""
    times: dict[int, list[float]] = {size: [] for size in (0, *_CHUNKS) if size + settings.live_replies <= settings.batch_tokens}
    with _Steps(model, settings, choice) as steps:
        for _round in range(ROUNDS):
            for size, found in times.items():
                found.append(steps.mixed(size))
            tick()
    return times


class _Steps:
    """A context in which every reply has _SHARE tokens behind it."""

    def __init__(self, model: Model, settings: EngineSettings, choice: Choice) -> None:
        self._live = settings.live_replies
        self._context = Context(
            model,
            cells=1024 * self._live,
            sequences=self._live,
            batch_tokens=settings.batch_tokens,
            outputs=self._live,
            threads=choice.threads,
            cache_type=choice.cache_type,
            flash_attention=choice.flash_attention,
            unified=False,
        )
        self._vocabulary = model.vocabulary
        self._chunk = min(settings.batch_tokens, 256)

    def __enter__(self) -> _Steps:
        for start in range(0, _SHARE, self._chunk):
            self._decode([(0, position) for position in range(start, min(_SHARE, start + self._chunk))])
        state = self._context.save(0)
        for sequence in range(1, self._live):
            self._context.load(sequence, state)
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def replies(self) -> float:
        times = [self._decode([(sequence, _SHARE + step) for sequence in range(self._live)], output=True) for step in range(_STEPS)]
        return statistics.median(times)

    def reading(self, tokens: int) -> float:
        self._context.trim(0, _SHARE)
        return self._decode([(0, _SHARE + n) for n in range(min(tokens, self._chunk))]) * tokens / min(tokens, self._chunk)

    def mixed(self, tokens: int) -> float:
        for sequence in range(self._live):
            self._context.trim(sequence, _SHARE)
        replies = [(sequence, _SHARE) for sequence in range(self._live - 1)]
        return self._decode([*replies, *((self._live - 1, _SHARE + n) for n in range(tokens))] or [(0, _SHARE)])

    def _decode(self, tokens: Sequence[tuple[int, int]], *, output: bool = False) -> float:
        """Tokens as (sequence, position); seconds."""
        self._context.clear_batch()
        for sequence, position in tokens:
            self._context.add((97 + 31 * position + sequence) % self._vocabulary, position, sequence, output=output)
        began = time.perf_counter()
        self._context.decode()
        return time.perf_counter() - began


def _table(found: Sequence[Measured], chosen: Choice, chunks: dict[int, list[float]]) -> Table:
    table = Table("threads", "flash attention", "cache", "step of all replies ms", f"reading {_READ} tokens ms", "a turn s", "")
    for measured in found:
        choice = measured.choice
        mark = "chosen" if choice.model_copy(update={"chunk_tokens": chosen.chunk_tokens}) == chosen else ""
        table.add_row(
            str(choice.threads),
            choice.flash_attention,
            choice.cache_type,
            f"{measured.step * 1000:.0f}",
            f"{measured.read * 1000:.0f}",
            f"{measured.turn:.1f}",
            mark,
        )
    alone = statistics.median(chunks[0])
    told = ", ".join(f"{size}: {statistics.median(times) / alone:.1f}" for size, times in chunks.items() if size)
    table.caption = f"A step takes so many times as long with a chunk of so many tokens ({chosen.chunk_tokens} chosen): {told}."
    return table
