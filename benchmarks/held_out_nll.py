"""Held-out loss before and after tuning, through llama.cpp: the right card against a wrong one, with intervals.

    .venv/bin/python benchmarks/held_out_nll.py --data data/runs/starter/dataset --model base=FILE.gguf --model tuned=FILE.gguf

Every test exchange is asked for exactly as the bot would (card, twelve fixed exemplars, three retrieved ones, lore); loss is
over reply and end token. "Wrong" is the mean of the same reply under other characters' cards, exemplars and lore. Intervals are
95 %, paired bootstrap over exchanges, each exchange weighing its tokens.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from trainer.likelihood import Measured, per_token
from trainer.samples import Sample, read_samples
from trainer.served import Served

DRAWS = 10_000


def difference(one: Sequence[tuple[float, int]], other: Sequence[tuple[float, int]]) -> tuple[float, float, float]:
    """Mean of ``one - other`` per token over pairs of (nats, tokens), and its 95 % interval."""
    nats = np.array([[a, b] for (a, _), (b, _) in zip(one, other, strict=True)])
    tokens = np.array([[a, b] for (_, a), (_, b) in zip(one, other, strict=True)], dtype=float)
    picks = np.random.default_rng(1).integers(0, len(nats), size=(DRAWS, len(nats)))
    sums, counts = nats[picks].sum(axis=1), tokens[picks].sum(axis=1)
    drawn = np.sort(sums[:, 0] / counts[:, 0] - sums[:, 1] / counts[:, 1])
    mean = nats[:, 0].sum() / tokens[:, 0].sum() - nats[:, 1].sum() / tokens[:, 1].sum()
    return float(mean), float(drawn[int(DRAWS * 0.025)]), float(drawn[int(DRAWS * 0.975)])


def by_exchange(samples: Sequence[Sample], measured: Sequence[Measured]) -> dict[str, tuple[float, int]]:
    """Mean over the cards that one exchange was measured with."""
    found: dict[str, list[Measured]] = defaultdict(list)
    for sample, each in zip(samples, measured, strict=True):
        found[sample.lines[0]].append(each)
    return {line: (sum(m.nats for m in each) / len(each), each[0].tokens) for line, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a finished dataset stage")
    parser.add_argument("--model", action="append", required=True, metavar="NAME=FILE[+ADAPTER]", help="the first is the base")
    parser.add_argument("--into", type=Path, help="write the figures as JSON")
    parser.add_argument("--every", type=int, default=1, help="take every n-th exchange")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    right = list(read_samples(args.data / "test.jsonl"))[:: args.every]
    wanted = {s.lines[0] for s in right}
    wrong = [s for s in read_samples(args.data / "wrong_card.jsonl") if s.lines[0] in wanted]
    losses: dict[str, dict[str, dict[str, tuple[float, int]]]] = {}
    with Progress(console=Console(stderr=True)) as progress:
        for given in args.model:
            name, _, files = given.partition("=")
            file, _, adapter = files.partition("+")
            task = progress.add_task(name, total=len(right) + len(wrong))
            with Served(Path(file), threads=args.threads, adapter=Path(adapter) if adapter else None) as served:
                losses[name] = {
                    kind: by_exchange(samples, served.measure(samples, tick=lambda task=task: progress.advance(task)))
                    for kind, samples in (("right", right), ("wrong", wrong))
                }
    speakers = {s.lines[0]: s.character for s in right}
    figures = {name: told(found, losses[next(iter(losses))], speakers) for name, found in losses.items()}
    show(figures)
    if args.into:
        args.into.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def told(found: dict, base: dict, speakers: dict[str, str]) -> dict:
    order = sorted(found["right"])
    right, wrong = [found["right"][line] for line in order], [found["wrong"].get(line, found["right"][line]) for line in order]
    before = [base["right"][line] for line in order]
    characters = sorted(set(speakers.values()))
    return {
        "exchanges": len(order),
        "tokens": sum(n for _, n in right),
        "right": per_token([Measured(*r) for r in right]),
        "wrong": per_token([Measured(*w) for w in wrong]),
        "wrong_minus_right": difference(wrong, right),
        "base_minus_this": difference(before, right),
        "right_by_character": {
            who: per_token([Measured(*found["right"][line]) for line in order if speakers[line] == who]) for who in characters
        },
    }


def show(figures: dict) -> None:
    table = Table(
        "model", "right card", "wrong card", "margin [95 %]", "better than the first [95 %]", title="held-out NLL, nats per token"
    )
    for name, row in figures.items():
        margin, low, high = row["wrong_minus_right"]
        gain, least, most = row["base_minus_this"]
        table.add_row(
            name,
            f"{row['right']:.3f}",
            f"{row['wrong']:.3f}",
            f"{margin:.3f} [{low:.3f}, {high:.3f}]",
            f"{gain:.3f} [{least:.3f}, {most:.3f}]",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
