"""What a person sees of a training run, and what ``train.jsonl`` keeps of it."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

RECENT = 20  # steps over which speed is told


class Steps:
    """Tells step, loss, held-out loss, real tokens a second and the time left; on a terminal as a bar, else as lines."""

    def __init__(
        self,
        log: Path,
        *,
        rows: Sequence[int],
        rows_per_step: int,
        keep_time: Callable[[], None],
        writes: bool,
        console: Console | None = None,
    ) -> None:
        self._log = log
        # tokens seen after so many steps; a last step may have fewer rows
        self._seen = [sum(rows[: n * rows_per_step]) for n in range(-(-len(rows) // rows_per_step) + 1)]
        self._keep_time = keep_time
        self._writes = writes
        self._console = console or Console(stderr=True)
        self._progress: Progress | None = None
        self._task: Any = None
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT)
        self._held_out: float | None = None
        self._total = len(self._seen) - 1
        self._step = 0

    def start(self, step: int, total: int) -> None:
        """Training begins, or goes on after ``step``: rows of later steps, which a killed run left, are dropped."""
        self._total = total
        self._step = step
        if not self._writes:
            return
        self._drop_after(step)
        self._recent.append((time.monotonic(), self._tokens(step)))
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), console=self._console
            )
            self._task = self._progress.add_task("tuning", total=total, completed=step, told="")
            self._progress.start()
        elif step:
            self._console.print(f"tuning goes on after step {step} of {total}", highlight=False)

    def step(self, step: int, loss: float, rate: float) -> None:
        self._recent.append((time.monotonic(), self._tokens(step)))
        self._step = step
        speed = self._speed()
        self._write(
            {"step": step, "loss": round(loss, 5), "rate": rate, "tokens": self._tokens(step), "tokens_per_second": round(speed, 1)}
        )
        left = (self._tokens(self._total) - self._tokens(step)) / speed if speed else 0.0
        held_out = f" · held out {self._held_out:.4f}" if self._held_out is not None else ""
        told = f"step {step}/{self._total} · loss {loss:.4f}{held_out} · {speed:.0f} tokens/s · {left / 60:.0f} min left"
        if self._progress is not None:
            self._progress.update(self._task, completed=step, told=told)
        elif self._writes:
            self._console.print(told, highlight=False)

    def watched(self, step: int, loss: float) -> None:
        self._held_out = loss
        self._write({"step": step, "held_out_loss": round(loss, 5), "tokens": self._tokens(step)})
        if self._writes and self._progress is None:
            self._console.print(f"step {step}/{self._total} · held-out loss {loss:.4f} nats per token", highlight=False)
        self._recent.clear()  # the time of measuring is not the time of training
        self._recent.append((time.monotonic(), self._tokens(step)))

    def saved(self) -> None:
        if self._writes:
            self._keep_time()

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _tokens(self, step: int) -> int:
        return self._seen[min(step, len(self._seen) - 1)]

    def _speed(self) -> float:
        (then, before), (now, after) = self._recent[0], self._recent[-1]
        return (after - before) / (now - then) if now > then else 0.0

    def _write(self, row: dict[str, Any]) -> None:
        if not self._writes:
            return
        row["at"] = round(time.time(), 1)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _drop_after(self, step: int) -> None:
        if not self._log.is_file():
            return
        kept: list[str] = []
        for line in self._log.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (json.JSONDecodeError, KeyError, TypeError):
                continue  # a kill cut this line off
        self._log.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
