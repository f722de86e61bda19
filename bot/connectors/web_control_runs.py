"""Training runs as their folders tell of them: stages, and the loss curve, also while it is being written.

Only files are read (``train.jsonl``, ``begun.json``, ``manifest.json`` under ``data/runs``); the trainer itself is another process.
Everything here blocks.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bot.memory.collected import COLLECTED, DECISIONS
from bot.memory.collected import RUNS as RUNS_FOLDER
from bot.memory.rows import read_rows

LOG, BEGUN, MANIFEST = "train.jsonl", "begun.json", "manifest.json"
POINTS: Final = 400  # of a curve: more than a page has pixels for
COLLECTED_KINDS: Final = ("gold", "pairs", "kto")
LIVE_SECONDS: Final = 300.0  # a run whose log was written to so lately is still going on
LOG_BYTES: Final = 32 * 1024 * 1024
RUNS: Final = 40


@dataclass(frozen=True, slots=True)
class Curve:
    """Points are (thousand tokens read, nats per token)."""

    trained: tuple[tuple[float, float], ...]
    held_out: tuple[tuple[float, float], ...]
    step: int
    tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class StageTold:
    name: str
    finished: bool
    minutes: float
    figures: dict[str, Any]
    curve: Curve | None
    live: bool


@dataclass(frozen=True, slots=True)
class RunTold:
    name: str
    touched: float  # seconds since 1970
    stages: tuple[StageTold, ...]


@dataclass(frozen=True, slots=True)
class Collected:
    """Rows that a run collected to learn from, and what an operator has decided of them."""

    run: str
    rows: int
    approved: int  # edited ones too
    dropped: int
    waiting: int


def collected(data: Path) -> list[Collected]:
    """The queue of ``troupe-train curate``, in numbers."""
    decided = {row["key"]: row.get("verdict") for row in read_rows(data / DECISIONS) if isinstance(row.get("key"), str)}
    found: list[Collected] = []
    for folder in sorted((data / RUNS_FOLDER).glob(f"*/{COLLECTED}")):
        keys = [row.get("key") for kind in COLLECTED_KINDS for row in read_rows(folder / f"{kind}.jsonl")]
        verdicts = [decided.get(key) for key in keys if isinstance(key, str)]
        if verdicts:
            approved, dropped = sum(v in ("approve", "edit") for v in verdicts), verdicts.count("drop")
            found.append(Collected(folder.parent.name, len(verdicts), approved, dropped, len(verdicts) - approved - dropped))
    return found


class Runs:
    """Reads a log anew only when it has grown. Not for two threads at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._curves: dict[Path, tuple[tuple[int, int], Curve | None]] = {}

    def told(self, now: float | None = None) -> list[RunTold]:
        """Newest first."""
        now = time.time() if now is None else now
        try:
            folders = [path for path in self._folder.iterdir() if path.is_dir() and not path.is_symlink()]
        except OSError:
            return []
        runs = [run for folder in folders if (run := self._run(folder, now)).stages]
        return sorted(runs, key=lambda run: -run.touched)[:RUNS]

    def _run(self, folder: Path, now: float) -> RunTold:
        found = [told for path in _inside(folder) if (told := self._stage(path, now)) is not None]
        found.sort(key=lambda pair: pair[0])
        return RunTold(folder.name, max((touched for touched, _ in found), default=0.0), tuple(stage for _, stage in found))

    def _stage(self, folder: Path, now: float) -> tuple[float, StageTold] | None:
        made, begun = _object(folder / MANIFEST), _object(folder / BEGUN)
        told = made or begun
        if not told:
            return None
        touched = max(_touched(folder / name) for name in (LOG, BEGUN, MANIFEST))
        curve = self._curve(folder / LOG) if told.get("stage", "tune") != "dataset" else None
        figures = told.get("figures")
        minutes = told.get("minutes")
        return touched, StageTold(
            name=folder.name,
            finished=bool(made),
            minutes=float(minutes) if isinstance(minutes, int | float) else 0.0,
            figures={k: v for k, v in figures.items() if isinstance(v, str | int | float)} if isinstance(figures, dict) else {},
            curve=curve,
            live=not made and now - touched < LIVE_SECONDS,
        )

    def _curve(self, log: Path) -> Curve | None:
        try:
            state = log.stat()
        except OSError:
            return None
        mark = (state.st_size, state.st_mtime_ns)
        known = self._curves.get(log)
        if known is None or known[0] != mark:
            known = self._curves[log] = (mark, _read_curve(log) if state.st_size <= LOG_BYTES else None)
        return known[1]


def _read_curve(log: Path) -> Curve | None:
    trained: list[tuple[float, float]] = []
    held_out: list[tuple[float, float]] = []
    step, speed = 0, None
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        row = _row(line)
        if row is None:
            continue
        at = row["tokens"] / 1000
        if isinstance(row.get("held_out_loss"), int | float):
            held_out.append((at, row["held_out_loss"]))
        if isinstance(row.get("loss"), int | float):
            trained.append((at, row["loss"]))
            step = row["step"]
            speed = row.get("tokens_per_second")
    if not trained and not held_out:
        return None
    return Curve(tuple(_thinned(trained)), tuple(held_out[-POINTS:]), step, speed if isinstance(speed, int | float) else None)


def _row(line: str) -> dict[str, Any] | None:
    """A row of the log; None for a line that is being written just now, or that is none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or not all(isinstance(row.get(name), int) for name in ("step", "tokens")):
        return None
    return row


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The curve with as many points as a page can show: means of neighbours."""
    if len(points) <= POINTS:
        return points
    size = -(-len(points) // POINTS)
    groups = [points[at : at + size] for at in range(0, len(points), size)]
    return [(group[-1][0], sum(loss for _, loss in group) / len(group)) for group in groups]


def _inside(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
