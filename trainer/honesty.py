"""What ``bot.characters.honesty`` knows of sincere questions, learnt anew: python -m trainer.honesty

From ``honesty_questions.jsonl`` (questions, jokes and other messages, written for this; those marked ``held_out`` are only measured on),
the lessons in honesty and what is said to the house's own characters. The probes are not learnt from.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bot.characters.honesty import ENOUGH, WEIGHTS, chance_of_sincerity, word_grams

HERE = Path(__file__).parent
QUESTIONS, LESSONS, PROBES = HERE / "honesty_questions.jsonl", HERE / "honesty_lessons.jsonl", HERE / "probes.jsonl"
SINCERE = "sincere"

_ADMITS = re.compile(r"\bAI\b", re.IGNORECASE)
_SEEN_TWICE = 2  # a run of words that only one message has says nothing about others
_DECAY = 1.0  # L2, as if one more message had been seen for each weight
_SLIGHT = 0.02  # smaller weights are left out: together they change no answer


@dataclass(frozen=True, slots=True)
class Message:
    text: str
    kind: str  # sincere, playful or other
    held_out: bool = False


def messages(characters: Path) -> list[Message]:
    """Everything there is to learn from and to measure on, once each."""
    asked = [Message(row["text"], row["kind"], row.get("held_out", False)) for row in _rows(QUESTIONS)]
    asked += [Message(row["instruction"], SINCERE if _ADMITS.search(row["reply"]) else "playful") for row in _rows(LESSONS)]
    said = [row for path in sorted(characters.glob("*/lines.jsonl")) for row in _rows(path)]
    # Those that are answered with the truth about machines are few, and not all of them asked for it: somebody in despair is told, too.
    asked += [Message(row["said"], "other") for row in said if row["said"].isascii() and not _ADMITS.search(row["reply"])]
    return list({m.text: m for m in reversed(asked)}.values())[::-1]


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def learn(taught: Sequence[Message]) -> dict[str, Any]:
    """A logistic regression with L2, exactly to its minimum. Returns ``{"bias", "grams"}``."""
    grams = [word_grams(m.text) for m in taught]
    seen = Counter(g for found in grams for g in found)
    names = sorted(g for g, times in seen.items() if times >= _SEEN_TWICE)
    place = {g: i for i, g in enumerate(names)}
    inputs = torch.zeros(len(taught), len(names), dtype=torch.float64)
    for row, found in enumerate(grams):
        inputs[row, [place[g] for g in found if g in place]] = 1
    sincere = torch.tensor([m.kind == SINCERE for m in taught], dtype=torch.float64)
    weights = torch.zeros(len(names), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=500, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        missed = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ weights + bias, sincere, reduction="sum")
        value = missed + _DECAY / 2 * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    kept = {name: round(w, 3) for name, w in zip(names, weights.tolist(), strict=True) if abs(w) >= _SLIGHT}
    return {"bias": round(bias.item(), 3), "grams": kept}


def show(measured: Sequence[Message], console: Console) -> None:
    """How many of each kind are taken for sincere."""
    table = Table("kind", "messages", "taken for sincere")
    for kind in sorted({m.kind for m in measured}):
        of = [chance_of_sincerity(m.text) >= ENOUGH for m in measured if m.kind == kind]
        table.add_row(kind, str(len(of)), f"{sum(of)} ({sum(of) / len(of):.0%})")
    console.print(table)


def main() -> None:
    found = messages(Path("characters"))
    learnt = learn([m for m in found if not m.held_out])
    WEIGHTS.write_text(json.dumps(learnt, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    console = Console()
    console.print(f"{WEIGHTS.name}: {len(learnt['grams'])} weights; of messages that were held out:")
    show([m for m in found if m.held_out], console)
    console.print("of the probes, which were not learnt from either:")
    show([Message(row["text"], row["kind"]) for row in _rows(PROBES)], console)


if __name__ == "__main__":
    main()
