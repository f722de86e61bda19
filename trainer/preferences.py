"""Stage ``prefer``: pairs or thumbs -> ``tune``'s adapter, trained further by trl's DPO or KTO, on token ids that the bot's renderer made.

The folder afterwards is like that of ``tune``: ``adapter/``, ``manifest.json``; ``checkpoints/`` is what a killed run continues from.
"""

from __future__ import annotations

import json
import shutil
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from datasets import Dataset  # type: ignore[import-untyped]
from peft import PeftModel
from pydantic import Field
from rich.console import Console
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer

from bot.config import Section
from bot.engine.models import STARTER
from trainer.base import find_base, load_model, load_tokenizer
from trainer.errors import SourceRefused
from trainer.lean_dpo import LeanDPOTrainer, collate
from trainer.manifest import Stage, begin
from trainer.merge import adapted
from trainer.options import add_run, add_settings, settings_from
from trainer.retrain_lessons import PAIRS, THUMBS, Preference, Thumb, read_pairs, read_thumbs
from trainer.runs import run_folder, working_in
from trainer.tune import ADAPTER, CHECKPOINTS, last_whole_checkpoint

Given = TypeVar("Given", Preference, Thumb)

KTO_BATCH = 2  # KTO compares within a batch, so it cannot be one


class PreferSettings(Section):
    """Small steps: a preference is a nudge, and the gate looks for what it broke."""

    base: str = STARTER
    method: Literal["dpo", "kto"] = "dpo"
    seed: int = 1
    learning_rate: float = Field(5e-5, gt=0)  # moves an adapter that was tuned before as far as 1e-4 would a new one
    warmup_share: float = Field(0.1, ge=0, lt=1)
    beta: float = Field(0.1, gt=0)
    keep_weight: float = Field(0.2, ge=0)  # of the chosen reply's own likelihood, which plain DPO lets sink with the rejected one's
    step_rows: int = Field(4, ge=1)  # pairs, or thumbs, in an optimizer's step
    epochs: int = Field(1, ge=1)
    max_tokens: int | None = Field(None, ge=1)  # a budget: the prompt counts once, both replies with it
    threads: int | None = Field(None, ge=1)


def prefer(lessons: Path, tuned: Path, into: Path, settings: PreferSettings) -> Path:
    """Train the adapter of ``tuned`` further, against what it was. Killed at any moment, the same call continues from the last checkpoint.

    Raises:
        SourceRefused, BaseRefused: there is nothing to prefer; the adapter does not belong to the base.
    """
    base, adapter = find_base(settings.base), tuned / ADAPTER
    asked = settings.model_dump(mode="json", exclude={"seed", "threads"})
    source = lessons / (PAIRS if settings.method == "dpo" else THUMBS)
    inputs = {"lessons": source, "adapter": adapter, "base": base.local or base.name}
    stage = begin(into, "prefer", inputs=inputs, settings=asked, seed=settings.seed)
    if stage.finished:
        return into
    if settings.threads:
        torch.set_num_threads(settings.threads)
    set_seed(settings.seed)
    # trl and peft use names that transformers has renamed, and are told so.
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        model = adapted(load_model(base), adapter, base, trainable=True)
        config = model.peft_config["default"]
        named, config.base_model_name_or_path = config.base_model_name_or_path, ""  # peft asks the hub about it at each checkpoint
        trainer, rows, tokens = (_dpo if settings.method == "dpo" else _kto)(model, source, into / CHECKPOINTS, settings)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_Telling(stage, Console(stderr=True)))
        resume = last_whole_checkpoint(into / CHECKPOINTS)
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    # What it is trained against is a second adapter, which is not saved.
    config.base_model_name_or_path = named
    model.save_pretrained(str(into / ADAPTER), safe_serialization=True, save_embedding_layers=False, selected_adapters=["default"])
    (into / ADAPTER / "README.md").unlink(missing_ok=True)
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    (into / "train.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in history), encoding="utf-8")
    shutil.rmtree(into / CHECKPOINTS, ignore_errors=True)
    last = history[-1] if history else {}
    figures = {"rows": rows, "tokens": tokens, "steps": trainer.state.global_step, "loss_last": last.get("loss")}
    return stage.finish({**figures, **{name: last[f"rewards/{name}"] for name in ("accuracies", "margins") if f"rewards/{name}" in last}})


# ------------------------------------------------------------------ the two trainers


class GivenInOrder:
    """For trl's trainers: token ids are given and are not made again; rows come in the order of the data, where a resumed run goes on."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        rows: Any = train_dataset if train_dataset is not None else self.train_dataset  # type: ignore[attr-defined]
        return SequentialSampler(rows)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: a checkpoint is nothing to be published."""


class _PairTrainer(GivenInOrder, LeanDPOTrainer):
    pass


class _ThumbTrainer(GivenInOrder, KTOTrainer):
    pass


def _dpo(model: PeftModel, source: Path, checkpoints: Path, settings: PreferSettings) -> tuple[Any, int, int]:
    pairs = _within(read_pairs(source), settings.max_tokens)
    if not pairs:
        raise SourceRefused("there are no pairs to learn from; collect more, or use method kto")
    tokenizer = load_tokenizer(find_base(settings.base))
    arguments = DPOConfig(
        **_common(checkpoints, settings, len(pairs), batch=1),
        beta=settings.beta,
        loss_type=["sigmoid", "sft"] if settings.keep_weight else ["sigmoid"],
        loss_weights=[1.0, settings.keep_weight] if settings.keep_weight else None,
    )
    rows = [{"prompt_ids": p.prompt, "chosen_ids": p.chosen, "rejected_ids": p.rejected} for p in pairs]
    trainer = _PairTrainer(
        model=model,
        args=arguments,
        data_collator=collate,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer.inner,
    )
    return trainer, len(pairs), sum(p.tokens for p in pairs) * settings.epochs


def _kto(model: PeftModel, source: Path, checkpoints: Path, settings: PreferSettings) -> tuple[Any, int, int]:
    thumbs = _within(read_thumbs(source), settings.max_tokens)
    if len(thumbs) < KTO_BATCH or len({t.liked for t in thumbs}) < 2:
        raise SourceRefused("KTO needs liked and disliked replies; wait until more were rated, or use method dpo")
    thumbs = thumbs[: len(thumbs) // KTO_BATCH * KTO_BATCH]
    tokenizer = load_tokenizer(find_base(settings.base))
    liked = sum(t.liked for t in thumbs)
    arguments = KTOConfig(
        **_common(checkpoints, settings, len(thumbs), batch=KTO_BATCH),
        beta=settings.beta,
        # Both sides weigh alike, however many thumbs each has (KTO, equation 8).
        desirable_weight=1.0 if liked >= len(thumbs) - liked else (len(thumbs) - liked) / liked,
        undesirable_weight=1.0 if liked <= len(thumbs) - liked else liked / (len(thumbs) - liked),
        train_sampling_strategy="sequential",
    )
    rows = []
    for start in range(0, len(thumbs), KTO_BATCH):
        batch = thumbs[start : start + KTO_BATCH]
        for i, thumb in enumerate(batch):
            other = batch[i - 1].reply  # the KL term is estimated from replies to other prompts of the same batch
            rows.append({"prompt_ids": thumb.prompt, "completion_ids": thumb.reply, "KL_completion_ids": other, "label": thumb.liked})
    trainer = _ThumbTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer.inner,
    )
    return trainer, len(thumbs), sum(t.tokens for t in thumbs) * settings.epochs


def _within(rows: Sequence[Given], limit: int | None) -> list[Given]:
    kept: list[Given] = []
    left = limit
    for row in rows:
        if left is not None:
            left -= row.tokens
            if left < 0 and kept:
                break
        kept.append(row)
    return kept


def _common(folder: Path, settings: PreferSettings, rows: int, *, batch: int) -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    steps = max(rows // settings.step_rows * settings.epochs, 1)
    return {
        "output_dir": str(folder),
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": max(settings.step_rows // batch, 1),
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": settings.warmup_share,  # below 1: a share of all steps
        "max_grad_norm": 1.0,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": max(steps // 4, 1),
        "save_total_limit": 1,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "report_to": "none",
        "disable_tqdm": True,
        "log_level": "error",
        "remove_unused_columns": False,
        "max_length": None,
        "gradient_checkpointing": False,
        "bf16": cuda,
        "use_cpu": not cuda,
        "dataloader_pin_memory": cuda,
    }


class _Telling(TrainerCallback):
    def __init__(self, stage: Stage, console: Console) -> None:
        self._stage = stage
        self._console = console

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        if logs and "loss" in logs:
            told = "".join(f" · {name} {logs[f'rewards/{name}']:.2f}" for name in ("accuracies", "margins") if f"rewards/{name}" in logs)
            self._console.print(f"prefer: step {state.global_step}/{state.max_steps} · loss {logs['loss']:.4f}{told}", highlight=False)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._stage.keep_time()


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    add_settings(parser, PreferSettings)


def command(args: Namespace) -> None:
    with working_in(run_folder(args.runs, args.run)) as run:
        folder = prefer(run / "contrast", run / "tune", run / "prefer", settings_from(args, PreferSettings))
    print(f"{folder / ADAPTER}: the adapter; next: troupe-train merge --run {args.run}")
