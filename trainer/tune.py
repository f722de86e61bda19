"""Stage ``tune``: samples -> a LoRA adapter, with live progress, early stop and exact resume.

The folder afterwards: ``adapter/`` (safetensors, the best by held-out loss), ``train.jsonl`` (one row a step), ``loss.svg``,
``manifest.json``. ``checkpoints/`` is what a killed run continues from; it goes when the stage is finished.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset  # type: ignore[import-untyped]
from peft import LoraConfig
from pydantic import Field
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from trl.trainer.sft_config import SFTConfig

from bot.config import Section
from bot.engine.models import STARTER
from trainer.base import find_base, load_model, load_tokenizer
from trainer.curve import draw_curve
from trainer.dataset import TRAIN, WATCH
from trainer.errors import BaseRefused, RunRefused, SourceRefused
from trainer.lean_sft import LeanSFTTrainer
from trainer.manifest import BEGUN, MANIFEST, Stage, begin, read_json
from trainer.options import add_run, add_settings, settings_from
from trainer.packing import Pack, as_row, collate, pack, within_budget
from trainer.progress import Steps
from trainer.runs import run_folder, working_in
from trainer.samples import Sample, check_ends, read_samples
from trainer.tokenizer import TransformersTokenizer

log = logging.getLogger(__name__)

ADAPTER, CHECKPOINTS, LOG, CURVE = "adapter", "checkpoints", "train.jsonl", "loss.svg"


class TuneSettings(Section):
    """LoRA as small models like it; METHODS.md gives where the values come from."""

    base: str = STARTER
    seed: int = 1
    rank: int = Field(16, ge=1, le=512)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.05, ge=0, lt=1)
    learning_rate: float = Field(5e-4, gt=0)
    warmup_share: float = Field(0.06, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    epochs: int = Field(1, ge=1)  # passes over the dataset, which already holds several draws
    row_tokens: int = Field(1024, ge=64)  # tokens in a row; a longer sample has its own
    step_rows: int = Field(2, ge=1)  # rows in an optimizer's step
    max_tokens: int | None = Field(None, ge=1)  # a budget: prompts count too, and the cosine ends with it
    watches: int = Field(8, ge=1)  # how often held-out loss is measured, evenly through the run
    patience: int = Field(3, ge=1)  # stop after so many measurements without a better one
    threads: int | None = Field(None, ge=1)  # of the CPU; None: torch's own choice


def tune(data: Path, into: Path, settings: TuneSettings) -> Path:
    """Train. Killed at any moment, the next call with the same arguments continues from the last checkpoint.

    Under ``accelerate launch`` every process calls this; the first one writes.

    Raises:
        SourceRefused, BaseRefused, RunRefused: what was given does not fit together; says what to do.
    """
    base = find_base(settings.base)
    asked = settings.model_dump(mode="json", exclude={"seed", "threads"})
    stage = begin(into, "tune", inputs={"dataset": data, "base": base.local or base.name}, settings=asked, seed=settings.seed)
    if stage.finished:
        return into
    if settings.threads:
        torch.set_num_threads(settings.threads)
    tokenizer = load_tokenizer(base)
    model = load_model(base)
    vocabulary = _vocabulary(model)
    packs = _rows(read_samples(data / TRAIN), settings, tokenizer.eos_id, vocabulary)
    watched = list(read_samples(data / WATCH))
    if not watched:
        raise SourceRefused(f"{data / WATCH} is empty; hold out some exchanges, or early stop has nothing to look at")
    set_seed(settings.seed)
    # trl and peft use names that transformers has renamed, and are told so.
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        arguments = _arguments(into / CHECKPOINTS, settings, len(packs))
        trainer = _trainer(model, arguments, packs, watched, tokenizer, settings)
    resume = last_whole_checkpoint(into / CHECKPOINTS)
    steps = Steps(
        into / LOG,
        rows=[p.tokens for p in packs] * settings.epochs,
        rows_per_step=settings.step_rows * trainer.accelerator.num_processes,
        keep_time=stage.keep_time,
        writes=trainer.is_world_process_zero(),
    )
    trainer.add_callback(_Telling(steps))
    trainer.remove_callback(PrinterCallback)
    if resume is None:
        trainer.evaluate()  # the base's own loss: what every later figure is compared with
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return _finish(trainer, stage, into, settings, packs, vocabulary)


def keep_best(into: Path) -> Path:
    """End a stopped training here: its best checkpoint so far becomes the adapter, and the manifest says that it was cut short.

    Raises:
        RunRefused: nothing was begun, or no checkpoint is whole.
    """
    if (into / MANIFEST).is_file():
        return into
    begun = read_json(into / BEGUN)
    last = last_whole_checkpoint(into / CHECKPOINTS)
    if not begun or last is None:
        raise RunRefused(f"{into}: no checkpoint was written yet; let the training run on, or begin it with: troupe-train tune")
    state = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))
    step = state.get("best_global_step")
    best = into / CHECKPOINTS / f"checkpoint-{step}"
    if not (best / "adapter_model.safetensors").is_file():
        raise RunRefused(f"{into}: the best checkpoint ({best.name}) is gone; let the training run on to its end")
    (into / ADAPTER).mkdir(exist_ok=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(best / name, into / ADAPTER / name)
    rows = [json.loads(line) for line in (into / LOG).read_text(encoding="utf-8").splitlines()]
    draw_curve(rows, into / CURVE)
    held = [row["held_out_loss"] for row in rows if "held_out_loss" in row]
    stage = Stage(into, {key: begun[key] for key in ("stage", "inputs", "settings", "seed")}, finished=False, resumed=True)
    stage.count_minutes(begun)
    stage.finish(
        {
            "stopped_early": f"at step {rows[-1]['step']} of {state['max_steps']}; the adapter is that of step {step}",
            "steps": step,
            "tokens": next(row["tokens"] for row in rows if row["step"] == step),
            "held_out_loss_base": held[0],
            "held_out_loss_best": state["best_metric"],
            "best_step": step,
        }
    )
    return into


def _trainer(
    model: PreTrainedModel,
    arguments: SFTConfig,
    packs: Sequence[Pack],
    watched: Sequence[Sample],
    tokenizer: TransformersTokenizer,
    settings: TuneSettings,
) -> LeanSFTTrainer:
    return LeanSFTTrainer(
        model=model,
        args=arguments,
        data_collator=collate,
        train_dataset=Dataset.from_list([as_row(p) for p in packs]),
        eval_dataset=Dataset.from_list([as_row(Pack((s,))) for s in watched]),  # asked for; ``evaluate`` takes ``watched``
        processing_class=tokenizer.inner,
        peft_config=_lora(settings),
        watched=watched,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=settings.patience)],
    )


def _finish(trainer: LeanSFTTrainer, stage: Stage, into: Path, settings: TuneSettings, packs: list[Pack], vocabulary: int) -> Path:
    model: Any = trainer.model
    if _vocabulary(model) != vocabulary:
        raise BaseRefused("training changed the vocabulary's size; such an adapter cannot be served and is not saved")
    if not trainer.is_world_process_zero():
        return into
    model.peft_config["default"].base_model_name_or_path = settings.base
    model.save_pretrained(into / ADAPTER, safe_serialization=True, save_embedding_layers=False)
    (into / ADAPTER / "README.md").unlink(missing_ok=True)
    rows = [json.loads(line) for line in (into / LOG).read_text(encoding="utf-8").splitlines()]
    draw_curve(rows, into / CURVE)
    held = [row["held_out_loss"] for row in rows if "held_out_loss" in row]
    figures = {
        "steps": trainer.state.global_step,
        "tokens": rows[-1]["tokens"],
        "rows": len(packs),
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "held_out_loss_base": held[0] if held else None,
        "held_out_loss_best": trainer.state.best_metric,
        "best_step": trainer.state.best_global_step,
        "device": str(model.device.type),
    }
    stage.finish(figures)
    shutil.rmtree(into / CHECKPOINTS, ignore_errors=True)
    return into


def _rows(samples: Iterable[Sample], settings: TuneSettings, eos_id: int, vocabulary: int) -> list[Pack]:
    checked: list[Sample] = []
    for sample in samples:
        check_ends(sample, eos_id)
        if max(sample.tokens) >= vocabulary:
            raise BaseRefused(f"the samples use token {max(sample.tokens)}, the base has {vocabulary}; make the dataset with this base")
        checked.append(sample)
    if not checked:
        raise SourceRefused("the dataset holds no sample to train on; run the dataset stage again")
    packs: list[Pack] = []
    for draw in sorted({s.draw for s in checked}):
        # Draw by draw, so that no line is met again before every other was met.
        packs += pack([s for s in checked if s.draw == draw], settings.row_tokens, seed=settings.seed + draw)
    return within_budget(packs, settings.max_tokens)


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])


def _lora(settings: TuneSettings) -> LoraConfig:
    # Embeddings and head stay as they are: llama.cpp takes no adapter for them, and a changed vocabulary fits no served file.
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        bias="none",
        task_type="CAUSAL_LM",
    )


def _arguments(folder: Path, settings: TuneSettings, rows: int) -> SFTConfig:
    cuda = torch.cuda.is_available()
    processes = int(os.environ.get("WORLD_SIZE", "1"))  # set by accelerate launch
    steps = max(rows * settings.epochs // (settings.step_rows * processes), 1)
    every = max(steps // settings.watches, 1)
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=settings.step_rows,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup_share,  # below 1: a share of all steps
        weight_decay=settings.weight_decay,
        max_grad_norm=1.0,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        seed=settings.seed,
        data_seed=settings.seed,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        gradient_checkpointing=False,
        bf16=cuda,
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        average_tokens_across_devices=True,
        ddp_find_unused_parameters=False,
        logging_nan_inf_filter=False,
    )


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end. One that a kill cut off is removed: it would be taken for whole."""
    found = [p for p in folder.glob("checkpoint-*") if p.name.rpartition("-")[2].isdigit()] if folder.is_dir() else []
    for checkpoint in sorted(found, key=lambda p: int(p.name.rpartition("-")[2]), reverse=True):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))  # written last
            return checkpoint
        except (OSError, json.JSONDecodeError):
            log.warning("checkpoint left out, it was cut off checkpoint=%s", checkpoint.name)
            shutil.rmtree(checkpoint)
    return None


class _Telling(TrainerCallback):
    """Carries the library's events to :class:`Steps`."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._steps.start(state.global_step, state.max_steps)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        logs = logs or {}
        if "loss" in logs:
            self._steps.step(state.global_step, logs["loss"], logs.get("learning_rate", 0.0))
        if "eval_loss" in logs:
            self._steps.watched(state.global_step, logs["eval_loss"])

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._steps.saved()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._steps.stop()


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--keep-best", action="store_true", help="train no more: end a stopped run with its best checkpoint")
    add_settings(parser, TuneSettings)


def command(args: Namespace) -> None:
    with working_in(run_folder(args.runs, args.run)) as run:
        folder = keep_best(run / "tune") if args.keep_best else tune(run / "dataset", run / "tune", settings_from(args, TuneSettings))
        print(f"{folder / ADAPTER}: the adapter; {folder / CURVE}: the loss curve")
