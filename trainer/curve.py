"""The loss curve as a picture: each step, smoothed, and the held-out loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

SMOOTHING = 0.9  # weight of what came before


def draw_curve(rows: Sequence[dict[str, Any]], into: Path) -> Path:
    """Draw the rows of a ``train.jsonl``. The figure is made without pyplot, which keeps a global state."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    trained = [(row["tokens"] / 1000, row["loss"]) for row in rows if "loss" in row]
    held_out = [(row["tokens"] / 1000, row["held_out_loss"]) for row in rows if "held_out_loss" in row]
    if trained:
        thousands, losses = zip(*trained, strict=True)
        axes.plot(thousands, losses, color="#b8c4d6", linewidth=0.8, label="step")
        axes.plot(thousands, _smooth(losses), color="#27496d", label="smoothed")
    if held_out:
        axes.plot(*zip(*held_out, strict=True), color="#c0562f", marker="o", label="held out")
    axes.set_xlabel("thousand tokens read")
    axes.set_ylabel("nats per token")
    axes.grid(alpha=0.3)
    if trained or held_out:
        axes.legend()
    figure.savefig(into, format="svg", metadata={"Date": None})
    return into


def _smooth(values: Sequence[float]) -> list[float]:
    smoothed: list[float] = []
    for value in values:
        smoothed.append(value if not smoothed else SMOOTHING * smoothed[-1] + (1 - SMOOTHING) * value)
    return smoothed
