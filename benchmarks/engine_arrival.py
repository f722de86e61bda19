"""What a long prompt does to the replies that run when it arrives, for several sizes of its chunks; auto follows what steps take.

Seven channels are answered (prompts of 260 tokens, as in ``troupe bench``). Once undisturbed, once with a prompt of 2,000 tokens
arriving after their fifth token: the p95 between two tokens while it is read, against undisturbed, and how long the newcomer
waits for its first token. The sizes take turns within a round; medians of the rounds.

    python benchmarks/engine_arrival.py [--rounds 3] [--chunks auto 32 48 64]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bot.bench.work import TextWork
from bot.config import EngineSettings
from bot.engine.engine import LlamaEngine
from bot.messages import ChannelKey, Prompt, Sampling

HOME = Path(__file__).resolve().parent.parent
CHANNELS, LONG_TOKENS, REPLY_TOKENS, BEFORE = 7, 2000, 72, 5


async def reply(engine: LlamaEngine, prompt: Prompt, channel: ChannelKey, tokens: int, times: list[float]) -> None:
    async for piece in engine.stream(prompt, Sampling(max_tokens=tokens, seed=1), channel=channel, endless=True):
        times += [time.monotonic()] * (piece.counters.reply_tokens - len(times))


async def measure(engine: LlamaEngine, name: str, *, arrives: bool) -> tuple[float, float]:
    """Seconds between two tokens of the running replies (p95), and to the newcomer's first token."""
    work = TextWork(lambda text: engine.tokenizer.encode(text, special=False), CHANNELS, 4)
    times: list[list[float]] = [[] for _ in range(CHANNELS)]
    first = began = 0.0
    async with asyncio.TaskGroup() as replies:
        for talk, into in zip(work.talks(name), times, strict=True):
            replies.create_task(reply(engine, talk.hear(1), talk.channel, REPLY_TOKENS, into))
        while min(map(len, times)) < BEFORE:  # noqa: ASYNC110  pieces of seven streams
            await asyncio.sleep(0.002)
        began = time.monotonic()
        if arrives:
            long = engine.tokenizer.encode(f"{name}, a long story. " + "And then something else happened. " * LONG_TOKENS, special=False)
            newcomer: list[float] = []
            await reply(engine, Prompt(tuple(long[:LONG_TOKENS]), 0, ()), ChannelKey("web", f"{name}, newcomer"), 1, newcomer)
            first = newcomer[0]
    until = first or max(map(max, times))
    gaps = sorted(later - sooner for into in times for sooner, later in pairwise(into) if began <= sooner <= until)
    return gaps[len(gaps) * 95 // 100], first - began


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--chunks", nargs="+", default=["auto", "32", "48", "64"])
    arguments.add_argument("--models", type=Path, default=HOME / "gguf")
    chosen = arguments.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {chunk: [] for chunk in chosen.chunks}
    for number in track(range(chosen.rounds), "rounds"):
        for chunk in chosen.chunks:
            settings = EngineSettings.model_validate({"chunk_tokens": chunk if chunk == "auto" else int(chunk), "prefix_megabytes": 0})
            engine = await LlamaEngine.load(settings, chosen.models)
            quiet, _ = await measure(engine, f"Round {number} quiet", arrives=False)
            disturbed, first = await measure(engine, f"Round {number} disturbed", arrives=True)
            found[chunk].append((quiet, disturbed, first))
            await engine.close()
    table = Table("chunk", "gap p95 ms, undisturbed", "while 2,000 tokens arrive", "ratio", "the newcomer's first token s")
    for chunk, runs in found.items():
        quiet, disturbed, first = (statistics.median(values) for values in zip(*runs, strict=True))
        ratio = statistics.median(disturbed / quiet for quiet, disturbed, _ in runs)
        table.add_row(chunk, f"{quiet * 1000:.0f}", f"{disturbed * 1000:.0f}", f"{ratio:.2f}", f"{first:.1f}")
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main())
