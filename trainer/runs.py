"""A run: one folder under ``data/runs`` with a folder for each stage, worked in by one process at a time."""

from __future__ import annotations

import fcntl
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from trainer.errors import RunRefused
from trainer.manifest import BEGUN, MANIFEST, is_first_process, read_json

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
LOCK = "in-use.lock"


@contextmanager
def working_in(folder: Path) -> Iterator[Path]:
    """The run's folder, ours alone until left; a killed process leaves no lock behind.

    Raises:
        RunRefused: another process works in it, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a")
    except OSError as error:
        raise RunRefused(f"{folder}: cannot be written to ({error.strerror}); choose another folder or free some space") from error
    if not is_first_process():
        lock.close()  # the first process of this launch holds it for all of them
        yield folder
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunRefused(f"{folder}: another process works in this run; wait for it, stop it, or choose another run name") from error
        yield folder


def run_folder(runs: Path, name: str) -> Path:
    """Where a run of this name lives.

    Raises:
        RunRefused: the name could not be a folder.
    """
    if not _NAME.fullmatch(name):
        raise RunRefused(f"{name!r:.80} cannot be a run's name; use small letters, numbers, points and hyphens, like starter-2")
    return runs / name


def learnt_last(run: Path) -> Path:
    """The stage whose adapter is the run's: ``prefer`` goes on with that of ``tune``."""
    return run / ("prefer" if (run / "prefer" / MANIFEST).is_file() else "tune")


@dataclass(frozen=True, slots=True)
class StageRow:
    """One line of ``troupe-train runs``."""

    run: str
    stage: str
    state: str  # finished | begun
    minutes: float
    figures: dict[str, Any]


def list_runs(runs: Path) -> list[StageRow]:
    """All stages of all runs, by run and then in the order in which they were begun."""
    rows: list[StageRow] = []
    for run in sorted(p for p in runs.glob("*") if p.is_dir()) if runs.is_dir() else []:
        begun = [p for p in run.iterdir() if (p / BEGUN).is_file() or (p / MANIFEST).is_file()]
        for folder in sorted(begun, key=lambda p: min(f.stat().st_mtime for f in (p / BEGUN, p / MANIFEST) if f.is_file())):
            made = read_json(folder / MANIFEST)
            told = made or read_json(folder / BEGUN)
            rows.append(
                StageRow(
                    run.name, folder.name, "finished" if made else "begun", float(told.get("minutes", 0.0)), dict(told.get("figures", {}))
                )
            )
    return rows


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, default=Path("data/runs"), metavar="FOLDER", help="where runs live (default data/runs)")


def command(args: Namespace) -> None:
    rows = list_runs(args.runs)
    if not rows:
        print(f"{args.runs}: no run yet; begin one with: troupe-train run recipe.toml")
        return
    table = Table("run", "stage", "state", "minutes", "figures")
    for row in rows:
        told = ", ".join(f"{name} {value}" for name, value in row.figures.items() if isinstance(value, int | float | str))
        table.add_row(row.run, row.stage, row.state, f"{row.minutes:.1f}", told)
    Console().print(table)
