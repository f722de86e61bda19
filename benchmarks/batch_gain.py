"""What a batch gains by itself: tokens a second of n replies in one step, by how the weights are kept.

    .venv/bin/python benchmarks/batch_gain.py --types Q6_K F16 Q4_0 Q8_0

Counts one thread's own CPU time, so that it can be run on a machine that others use; memory, which two threads share, is then no
bottleneck yet, and the gain of a batch is smaller than it is with all cores. It bounds what asking many questions at once can save.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import tempfile
import time
from pathlib import Path

from llama_cpp import llama_cpp as lib
from rich.console import Console
from rich.table import Table

from bot.engine import native
from bot.engine.models import bundled
from bot.engine.native import Context, Model

READ, STEPS, REPLIES = 700, 6, (1, 8, 16, 24)


def requantised(kind: str, folder: Path) -> Path:
    params = lib.llama_model_quantize_default_params()
    params.nthread, params.allow_requantize = 1, True
    params.ftype = getattr(lib, f"LLAMA_FTYPE_MOSTLY_{kind}")
    made = folder / f"{kind}.gguf"
    assert not lib.llama_model_quantize(str(bundled()).encode(), str(made).encode(), ctypes.byref(params)), kind
    return made


def measure(path: Path) -> list[float]:
    """Tokens a second: reading, then n replies for each n, every one with a conversation of its own before it."""
    most = max(REPLIES)
    context = Context(
        Model(path),
        cells=(READ + STEPS + 32) * (most + 1),
        sequences=most + 1,
        batch_tokens=512,
        outputs=most,
        threads=1,
        unified=False,
        flash_attention="off",
    )

    def decode(tokens: list[tuple[int, int]], *, output: bool) -> float:
        """Tokens as (sequence, position); seconds of CPU time."""
        context.clear_batch()
        for number, (sequence, position) in enumerate(tokens):
            context.add(1000 + number % 7000 + position, position, sequence, output=output)
        began = time.process_time()
        assert context.decode() == 0
        return time.process_time() - began

    decode([(most, n) for n in range(64)], output=False)  # pages the file in
    context.trim(most, 0)
    read = sum(decode([(most, n) for n in range(at, at + READ // 2)], output=False) for at in (0, READ // 2))
    for sequence in range(most):
        context.copy(most, sequence, -1)
        context.trim(sequence, READ)
    speeds = [READ / read]
    for replies in REPLIES:
        steps = []
        for _ in range(STEPS):
            steps.append(decode([(s, READ) for s in range(replies)], output=True))
            for sequence in range(replies):
                context.trim(sequence, READ)
        speeds.append(replies / statistics.median(steps))
    context.close()
    return speeds


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--types", nargs="+", default=["Q6_K", "F16", "Q4_0", "Q8_0"])
    chosen = arguments.parse_args()
    native.start()
    table = Table("", "reading", *(f"{n} replies" for n in REPLIES), "gain", title="tokens a second of one thread's CPU time")
    with tempfile.TemporaryDirectory() as folder:
        for kind in chosen.types:
            speeds = measure(requantised(kind, Path(folder)))
            table.add_row(kind, *(f"{s:.0f}" for s in speeds), f"{max(speeds[1:]) / speeds[1]:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
