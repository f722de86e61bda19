"""``troupe bench``: opens who is measured, shows how far it is, prints and writes the figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bot.bench import report
from bot.bench.contestants import Contestant, Serial, Server, Troupe
from bot.bench.run import Prefixes, Row, measure, steps
from bot.bench.tune import ticks, tune
from bot.bench.work import CastWork, TextWork, Work
from bot.characters.cast import Cast
from bot.characters.prompt import Budget, Layout, PromptRenderer
from bot.config import Config
from bot.engine.engine import LlamaEngine
from bot.engine.models import find_model
from bot.engine.tuning import choose, write_tuning
from bot.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    channels: int = 8
    turns: int = 3
    characters: int = 4
    reply_tokens: int = 48
    live_replies: int | None = None  # of our engine; None: as many as channels, or as the settings say
    rounds: int = 5
    cast: bool = False  # the shipped cards instead of plain text
    serial: bool = False
    against: tuple[str, ...] = ()
    json: Path | None = None
    plot: Path | None = None


async def bench(config: Config, wanted: Wanted, console: Console) -> None:
    """Measure, and say what came of it.

    Raises:
        ConfigError, EngineError: in a sentence that says what to do.
    """
    if min(wanted.channels, wanted.turns, wanted.characters, wanted.rounds, wanted.live_replies or 1) < 1 or wanted.reply_tokens < 2:
        raise ConfigError("bench: channels, turns, characters and rounds are at least 1, reply tokens at least 2")
    live = wanted.live_replies or max(config.engine.live_replies, wanted.channels)
    # Nothing is found on disk that an earlier run has left: cold means cold.
    settings = config.engine.model_copy(
        update={"live_replies": live, "prefix_megabytes": 0, "queue": max(config.engine.queue, wanted.channels)}
    )
    file = await asyncio.to_thread(find_model, settings.model, config.paths.models)
    choice = choose(settings, file)
    engine = await LlamaEngine.load(settings, config.paths.models)
    work, kinds = await asyncio.to_thread(_work, config, wanted, engine)
    rows: list[Row] = []
    lags: list[float] = []
    async with _contestants(engine, wanted, file.path, choice.threads) as contestants:
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task(f"{wanted.channels} channels", total=steps(contestants, wanted.rounds, kinds))
            figures = measure(work, contestants, rounds=wanted.rounds, turns=wanted.turns, reply_tokens=wanted.reply_tokens, prefixes=kinds)
            watch = asyncio.create_task(_watch_loop(lags), name="watch the event loop")
            try:
                async for found in figures:
                    rows += found
                    progress.advance(bar)
            finally:
                watch.cancel()
        status = engine.status
    about = {
        "machine": report.machine(choice.threads),
        "model": {
            "build": engine.build,
            "bytes": file.path.stat().st_size,
            "context_tokens": engine.context_tokens,
            "live_replies": live,
            **choice.model_dump(),
        },
        "ratios": report.ratios(rows),
        "turn_ratios": report.turn_ratios(rows),
        "outside_decode_and_sampling": 1 - (status.decode_seconds + status.sampling_seconds) / status.step_seconds,
        "event_loop_lag_p99_seconds": sorted(lags)[len(lags) * 99 // 100],
        "parked_bytes": status.parked_bytes,
    }
    _tell(rows, console, about)
    if wanted.json is not None:
        _write(wanted.json, report.as_json(rows, **about))
    if wanted.plot is not None:
        _write(wanted.plot, report.svg(rows))


async def tune_here(config: Config, console: Console) -> None:
    """Measure how llama.cpp is quickest here, and keep that beside the model for every start from now on."""
    settings = config.engine
    file = await asyncio.to_thread(find_model, settings.model, config.paths.models)
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("tuning", total=ticks(settings))
        choice, table = await asyncio.to_thread(tune, settings, file, lambda: progress.advance(bar))
    console.print(table)
    try:
        path = write_tuning(choice, settings, file)
    except OSError as error:
        raise ConfigError(f"{file.path.parent}: cannot be written ({error.strerror}); set paths.models to a folder of yours") from error
    console.print(f"Written to {path}; it counts wherever config.toml says auto. Delete the file to go back to what is usual.")


def _work(config: Config, wanted: Wanted, engine: LlamaEngine) -> tuple[Work, Sequence[Prefixes]]:
    if not wanted.cast:
        return TextWork(lambda text: engine.tokenizer.encode(text, special=False), wanted.channels, wanted.characters), ("cold", "warm")
    cast = Cast.load(config.paths.characters, config.characters)
    sessions = config.sessions
    budget = Budget(
        context=engine.context_tokens,
        reply=wanted.reply_tokens,
        card=sessions.card_tokens,
        fixed=sessions.exemplar_tokens,
        retrieved=sessions.retrieved_tokens,
    )
    renderer = PromptRenderer(engine.tokenizer, Layout(retrieved=config.retrieval.exemplars))
    company = cast.house[: wanted.characters]
    # The same cards in every round: they can be new to nobody but in the first.
    return CastWork(renderer, company, budget, wanted.channels, config.retrieval.exemplars), ("warm",)


@asynccontextmanager
async def _contestants(engine: LlamaEngine, wanted: Wanted, model: Path, threads: int) -> AsyncIterator[list[Contestant]]:
    async with AsyncExitStack() as opened:
        contestants: list[Contestant] = [Troupe(engine)]
        opened.push_async_callback(engine.close)
        if wanted.serial:
            contestants.append(await Serial.open(model, threads, engine.context_tokens))
        contestants += [Server(url) for url in wanted.against]
        for contestant in contestants[1:]:
            opened.push_async_callback(contestant.close)
        yield contestants


def _tell(rows: Sequence[Row], console: Console, about: Mapping[str, Any]) -> None:
    console.print(report.table(rows))
    warm_ups = {row.engine: row.warm_up_seconds for row in rows if row.prefixes == "warm"}
    if warm_ups:
        console.print(
            "Reading the characters beforehand took " + ", ".join(f"{name} {took:.1f} s" for name, took in warm_ups.items()) + "."
        )
    for engine, found in about["ratios"].items():
        told = ", ".join(f"{ratio:.2f} times with {prefixes} prefixes" for prefixes, ratio in found.items())
        console.print(f"Tokens per second of a whole round, troupe against {engine}, median of the rounds: {told}.")
    for found in about["turn_ratios"]:
        if found["ours"] != found["prefixes"]:
            console.print(
                f"First turn with known characters, against {found['engine']} that has yet to read them:"
                f" {found['tokens_per_second']:.2f} times the tokens per second, {found['first_token']:.2f} of the wait for the first."
            )
    console.print(
        f"{about['model']['build']}, {about['model']['live_replies']} replies at once: {about['outside_decode_and_sampling']:.1%} of a step"
        f" outside llama_decode and sampling; the event loop was late by {about['event_loop_lag_p99_seconds'] * 1000:.1f} ms (p99)."
    )


async def _watch_loop(lags: list[float]) -> None:
    """How late the event loop is when it should have come back after 5 ms."""
    while True:
        due = time.monotonic() + 0.005
        await asyncio.sleep(0.005)
        lags.append(time.monotonic() - due)


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); name another file") from error
