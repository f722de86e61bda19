"""How long BM25 takes over many lines: ``python benchmarks/retrieval_speed.py``.

The lines are the company's own, varied until there are enough; the questions are the shared ones that everybody is asked.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from dataclasses import replace
from pathlib import Path

from bot.characters.cast import Cast
from bot.config import CharacterSettings
from bot.retrieval.exemplars import ExemplarIndex

HERE = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, nargs="+", default=[120, 5_000, 100_000])
    parser.add_argument("--questions", type=int, default=50)
    options = parser.parse_args()
    own = [line for c in Cast.load(HERE / "characters", CharacterSettings()).house for line in c.lines if c.slug != "zhou-meilan"]
    words = [word for line in own for word in line.reply.split()]
    dice = random.Random(7)
    print("| lines | build s | median ms | p95 ms |\n|---|---|---|---|")
    for count in options.lines:
        lines = [
            replace(own[n % len(own)], id=str(n), said=f"{own[n % len(own)].said} {' '.join(dice.choices(words, k=4))}")
            for n in range(count)
        ]
        began = time.perf_counter()
        index = ExemplarIndex(lines)
        built = time.perf_counter() - began
        taken = []
        for _ in range(options.questions):
            question = dice.choice(own).said
            began = time.perf_counter()
            index.search(question, 3)
            taken.append((time.perf_counter() - began) * 1000)
        taken.sort()
        print(f"| {count:,} | {built:.2f} | {statistics.median(taken):.2f} | {taken[int(len(taken) * 0.95)]:.2f} |")


if __name__ == "__main__":
    main()
