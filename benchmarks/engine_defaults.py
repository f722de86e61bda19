"""Which kind of cache, batch and attention is fastest here: the raw steps, without our scheduler.

The same steps for every variant: a prompt of 512 tokens is read; then eight sequences that share a beginning each take tokens,
with as many idle cells around them as ``--idle`` says (conversations that rest in the cache). Variants take turns, and each is
compared with the first in the same round.

On a machine that others use, too, ``--one-thread`` counts the processor's time of a single thread, which waits for nobody.

    python benchmarks/engine_defaults.py [--rounds 5] [--idle 0 6000] [--one-thread]
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bot.engine.models import find_model
from bot.engine.native import Context, Model
from bot.engine.threads import usable_cores

HOME = Path(__file__).resolve().parent.parent
REPLIES, SHARED, STEPS = 8, 256, 8
VARIANTS: dict[str, dict[str, object]] = {
    "streams (as on a CPU)": {"unified": False, "flash_attention": "off"},
    "streams, flash attention": {"unified": False, "flash_attention": "on"},
    "unified": {"flash_attention": "off"},
    "unified, flash attention": {"flash_attention": "on"},
    "streams, q8_0": {"unified": False, "cache_type": "q8_0", "flash_attention": "on"},
    "streams, ubatch 128": {"unified": False, "flash_attention": "off", "ubatch_tokens": 128},
}


def measure(model: Model, variant: dict[str, object], idle: int, *, one_thread: bool) -> tuple[float, float]:
    """Tokens per second of reading, and of eight replies together."""
    clock = time.process_time if one_thread else time.perf_counter
    streams = variant.get("unified") is False
    sequences = REPLIES + 2
    cells = (SHARED + STEPS + 64 + idle // REPLIES) * sequences if streams else 16384
    context = Context(
        model,
        **{
            "cells": cells,
            "sequences": sequences,
            "batch_tokens": 512,
            "outputs": REPLIES,
            "threads": 1 if one_thread else usable_cores(),
            **variant,
        },
    )

    def decode(tokens: list[tuple[int, int]], *, output: bool) -> float:
        """Tokens as (sequence, position); seconds."""
        context.clear_batch()
        for number, (sequence, position) in enumerate(tokens):
            context.add(1000 + number % 7000 + position, position, sequence, output=output)
        began = clock()
        assert context.decode() == 0
        return clock() - began

    if not streams:  # idle conversations lie in the one cache that everybody looks through
        for start in range(0, idle, 512):
            decode([(REPLIES + 1, start + n) for n in range(min(512, idle - start))], output=False)
    read = decode([(REPLIES, n) for n in range(min(512, context.cells // sequences if streams else 512))], output=False)
    read_tokens = context.length(REPLIES)
    for sequence in range(REPLIES):
        context.copy(REPLIES, sequence, -1 if streams else SHARED)  # streams copy whole sequences only
        context.trim(sequence, SHARED)
    steps = [decode([(s, SHARED + step) for s in range(REPLIES)], output=True) for step in range(STEPS)]
    context.close()
    return read_tokens / read, REPLIES / statistics.median(steps)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--idle", type=int, nargs="+", default=[0, 6000])
    arguments.add_argument("--models", type=Path, default=HOME / "gguf")
    arguments.add_argument("--one-thread", action="store_true")
    chosen = arguments.parse_args()
    model = Model(find_model("current", chosen.models).path)
    for idle in chosen.idle:
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
        for _ in range(chosen.rounds):
            for name, variant in VARIANTS.items():
                results[name].append(measure(model, variant, idle, one_thread=chosen.one_thread))
        table = Table("variant", "reading, tokens/s", "to the first", "8 replies, tokens/s", "to the first", title=f"{idle} idle cells")
        base = next(iter(results.values()))
        for name, rounds in results.items():
            columns = []
            for kind in (0, 1):
                columns.append(f"{statistics.median(r[kind] for r in rounds):.0f}")
                columns.append(f"{statistics.median(r[kind] / b[kind] for r, b in zip(rounds, base, strict=True)):.2f}")
            table.add_row(name, *columns)
        Console().print(table)


if __name__ == "__main__":
    main()
