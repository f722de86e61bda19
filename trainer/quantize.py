"""Stage ``quantize``: the F16 file in several types, measured, and one chosen: the fastest that keeps what was learnt.

The fastest types lose the tuning (Q4_0: 0.30 nats per token on this starter, half of what tuning gains), so the rule is: the
fastest type whose held-out loss is within ``nll_gap`` of F16's.
"""

from __future__ import annotations

import ctypes
import json
import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from llama_cpp import llama_cpp as lib
from pydantic import Field
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bot.config import Section
from bot.engine import native
from bot.engine.models import STARTER
from bot.engine.threads import usable_cores
from bot.errors import ModelNotLoadable
from trainer.base import find_base, load_model
from trainer.dataset import TEST, TRAIN
from trainer.dither import dithered
from trainer.errors import GateFailed, SourceRefused
from trainer.export import MODEL_FILE
from trainer.importance import Vector, as_llama_takes_it, importance
from trainer.likelihood import per_token
from trainer.manifest import begin
from trainer.options import add_run, add_settings, settings_from
from trainer.runs import run_folder, working_in
from trainer.samples import Sample, read_samples
from trainer.served import Served

FULL = "F16"
REPLY_SHARE = 0.5  # weight of writing a reply in "fastest": a turn spends about as long in reading as in writing


class QuantizeSettings(Section):
    base: str = STARTER  # what training began from
    types: tuple[str, ...] = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0")
    nll_gap: float = Field(0.03, gt=0)  # nats per token that speed may cost
    samples: int = Field(64, ge=1)  # held-out samples for the loss
    rounds: int = Field(3, ge=1)  # speed is measured in turns, so that a slow minute hits all types
    importance: int = Field(0, ge=0)  # training samples of which an importance matrix is made; 0: none
    threads: int | None = Field(None, ge=1)


@dataclass(frozen=True, slots=True)
class TypeRow:
    """One type's figures. Loss in nats per token, speeds in tokens a second (median of the rounds)."""

    type: str
    bytes: int
    loss: float
    prompt_speed: float
    reply_speed: float

    @property
    def seconds_a_turn(self) -> float:
        """A turn of 300 prompt tokens and 40 reply tokens."""
        return 300 / self.prompt_speed + 40 / self.reply_speed


def quantize(exported: Path, data: Path, into: Path, settings: QuantizeSettings) -> Path:
    """Make and measure the types. Returns ``into``, which holds ``model.gguf`` in the chosen one.

    What would be rounded back to the base's weights is rounded by lot (``trainer.dither``).

    Raises:
        SourceRefused: a type is not known.
        GateFailed: no type, F16 among them, could be measured.
    """
    kinds = {name: ftype_of(name) for name in settings.types}
    base = find_base(settings.base)
    asked = settings.model_dump(mode="json", exclude={"threads", "base"})
    inputs = {"exported": exported, "dataset": data, "base": base.file or base.name}
    stage = begin(into, "quantize", inputs=inputs, settings=asked, seed=0)
    if stage.finished:
        return into
    threads = settings.threads or usable_cores()
    files = {FULL: exported / MODEL_FILE}
    matrix = _matrix(files[FULL], data, settings.importance) if settings.importance else {}
    by_lot: dict[str, int] = {}
    for name, kind in track(kinds.items(), description="quantising", transient=True):
        files[name] = into / f"{name}.gguf"
        if files[name].is_file():
            continue
        nearest, noisy = into / f"{name}.nearest.gguf", into / f"{name}.noisy.gguf"
        write_type(files[FULL], nearest, kind, threads, matrix)
        if base.file and (given := dithered(files[FULL], base.file, nearest, noisy, seed=0)):
            write_type(noisy, nearest, kind, threads, matrix)
            noisy.unlink()
            by_lot[name] = given
        nearest.replace(files[name])
    samples = list(read_samples(data / TEST))
    samples = samples[:: max(len(samples) // settings.samples, 1)][: settings.samples]
    rows = _measured(files, samples, into / "measured.json", settings.rounds, threads)
    chosen = choose(rows, settings.nll_gap)
    (into / f"{MODEL_FILE}.partial").unlink(missing_ok=True)
    shutil.copyfile(files[chosen.type], into / f"{MODEL_FILE}.partial")
    (into / f"{MODEL_FILE}.partial").replace(into / MODEL_FILE)
    for name in kinds:
        files[name].unlink()
    figures = {"chosen": chosen.type, "nll_gap": settings.nll_gap, "table": [asdict(row) for row in rows]}
    return stage.finish({**figures, "rounded_by_lot": by_lot, "weights_with_importance": len(matrix)})


def _matrix(full: Path, data: Path, count: int) -> dict[str, Vector]:
    samples = list(read_samples(data / TRAIN))
    return importance(load_model(find_base(str(full))), samples[:: max(len(samples) // count, 1)][:count])


def choose(rows: Sequence[TypeRow], gap: float) -> TypeRow:
    """The fastest type within ``gap`` of F16's loss; F16 itself where none is."""
    full = next((row for row in rows if row.type == FULL), None)
    if full is None:
        raise GateFailed("F16 was not measured, so no loss can be compared; run the stage again")
    return min((row for row in rows if row.loss <= full.loss + gap), key=lambda row: row.seconds_a_turn)


def write_type(source: Path, target: Path, kind: int, threads: int, matrix: Mapping[str, Vector]) -> None:
    """Quantise a whole file. Raises ``ModelNotLoadable`` when llama.cpp refuses."""
    native.start()
    partial = target.with_suffix(".partial")
    params = lib.llama_model_quantize_default_params()
    params.nthread = threads  # 0 would take every core
    params.ftype = kind
    params.allow_requantize = kind == lib.LLAMA_FTYPE_MOSTLY_F16  # to unpack what is quantised loses nothing
    rows = as_llama_takes_it(matrix)
    if matrix:
        params.imatrix = rows
    if lib.llama_model_quantize(str(source).encode(), str(partial).encode(), ctypes.byref(params)):
        partial.unlink(missing_ok=True)
        raise ModelNotLoadable(f"{source} could not be quantised to {target.stem}; is there room for {source.stat().st_size:,} bytes?")
    partial.replace(target)


def _measured(files: dict[str, Path], samples: Sequence[Sample], known: Path, rounds: int, threads: int) -> list[TypeRow]:
    """Losses one by one (kept in ``known``, so that a killed stage does not measure twice), then speeds in turns."""
    losses: dict[str, float] = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
    for name, path in track(files.items(), description="measuring loss", transient=True):
        if name not in losses:
            with Served(path, threads=threads) as served:
                losses[name] = per_token(served.measure(samples))
            known.write_text(json.dumps(losses), encoding="utf-8")
    speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in files}
    for _ in track(range(rounds), description="measuring speed", transient=True):
        for name, path in files.items():
            with Served(path, threads=threads) as served:
                served.speed(prompt_tokens=64, decoded=4)  # pages the file in
                speeds[name].append(served.speed())
    return [
        TypeRow(
            name,
            path.stat().st_size,
            round(losses[name], 4),
            round(median(s[0] for s in speeds[name]), 1),
            round(median(s[1] for s in speeds[name]), 1),
        )
        for name, path in files.items()
    ]


def ftype_of(name: str) -> int:
    found = getattr(lib, f"LLAMA_FTYPE_MOSTLY_{name}", None)
    if not isinstance(found, int):
        raise SourceRefused(f"{name!r:.40} is no type that llama.cpp writes; take some of Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0")
    return found


def show(folder: Path, console: Console) -> None:
    """The table, the chosen row marked."""
    figures = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["figures"]
    table = Table("type", "MB", "nats per token", "prompt tokens/s", "reply tokens/s", title="quantised")
    for row in figures["table"]:
        style = "bold green" if row["type"] == figures["chosen"] else ""
        table.add_row(
            row["type"],
            f"{row['bytes'] / 1e6:.0f}",
            f"{row['loss']:.4f}",
            f"{row['prompt_speed']:.0f}",
            f"{row['reply_speed']:.0f}",
            style=style,
        )
    console.print(table)
    console.print(f"chosen: {figures['chosen']}, the fastest within {figures['nll_gap']} nats of {FULL}")


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    add_settings(parser, QuantizeSettings)


def command(args: Namespace) -> None:
    with working_in(run_folder(args.runs, args.run)) as run:
        show(quantize(run / "export", run / "dataset", run / "quantize", settings_from(args, QuantizeSettings)), Console())
