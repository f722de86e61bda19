"""Real training tokens a second: ours against trl's SFTTrainer with its defaults, same samples, alternating.

    .venv/bin/python benchmarks/train_speed.py --data data/runs/starter/dataset --rounds 3

"Real" counts every token that a sample has and none that pads. Each turn trains the same samples from the same base with the
same LoRA; turns alternate, each round in the other order, and the median ratio of the pairs is what counts, because a shared
machine swings.
trl's side gets the samples as token ids with their labels (no tokenising is timed), its own collator, its default batch of 8,
its default gradient checkpointing and its own loss; only bfloat16, its default, is also tried in float32, and the faster counts.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from trainer.base import find_base, load_model, load_tokenizer
from trainer.lean_sft import LeanSFTTrainer
from trainer.packing import as_row, collate, pack
from trainer.samples import Sample, read_samples

LORA = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM")


class Clock(TrainerCallback):
    """Times the optimizer's steps alone: neither loading nor saving."""

    def on_train_begin(self, *_, **__):
        self.started = time.perf_counter()

    def on_train_end(self, *_, **__):
        self.seconds = time.perf_counter() - self.started


def common(folder: str) -> dict:
    return {
        "output_dir": folder,
        "num_train_epochs": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "log_level": "error",
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "max_length": None,
    }


def ours(base, tokenizer, samples: list[Sample], folder: str) -> float:
    packs = pack(samples, 1024, seed=1)
    arguments = SFTConfig(
        **common(folder),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=2,
        gradient_checkpointing=False,
        bf16=torch.cuda.is_available(),
        remove_unused_columns=False,
        average_tokens_across_devices=True,
    )
    return _timed(
        LeanSFTTrainer,
        {"train_dataset": Dataset.from_list([as_row(p) for p in packs]), "data_collator": collate, "watched": []},
        base,
        tokenizer,
        arguments,
    )


def theirs(base, tokenizer, samples: list[Sample], folder: str, *, bf16: bool) -> float:
    rows = [{"input_ids": s.tokens, "labels": s.labels()} for s in samples]
    arguments = SFTConfig(**common(folder), bf16=bf16)
    return _timed(SFTTrainer, {"train_dataset": Dataset.from_list(rows)}, base, tokenizer, arguments)


def _timed(kind, more: dict, base, tokenizer, arguments) -> float:
    clock = Clock()
    trainer = kind(model=load_model(base), args=arguments, processing_class=tokenizer.inner, peft_config=LORA, callbacks=[clock], **more)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a finished dataset stage")
    parser.add_argument("--base", default="starter")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--last-reply-only", action="store_true", help="short samples: only what belongs to the last reply")
    parser.add_argument("--into", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore", FutureWarning)
    base = find_base(args.base)
    tokenizer = load_tokenizer(base)
    samples = list(read_samples(args.data / "train.jsonl"))
    random.Random(1).shuffle(samples)
    samples = samples[: args.samples]
    if args.last_reply_only:
        samples = [short(s) for s in samples]
    tokens = sum(len(s.tokens) for s in samples)
    print(f"{len(samples)} samples, {tokens} real tokens, {sum(s.trained for s in samples)} trained, {args.threads} threads", flush=True)
    kinds = {
        "ours": lambda folder: ours(base, tokenizer, samples, folder),
        "trl defaults (bf16)": lambda folder: theirs(base, tokenizer, samples, folder, bf16=True),
        "trl defaults in f32": lambda folder: theirs(base, tokenizer, samples, folder, bf16=False),
    }
    speeds: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(args.rounds):
        # A B C, then C B A: who comes first must not decide on a machine whose speed drifts.
        for name, act in list(kinds.items())[:: 1 if turn % 2 == 0 else -1]:
            with tempfile.TemporaryDirectory() as folder:
                speeds[name].append(tokens / act(folder))
            print(f"round {turn + 1} {name}: {speeds[name][-1]:.0f} real tokens/s", flush=True)
    theirs_best = [max(pair) for pair in zip(speeds["trl defaults (bf16)"], speeds["trl defaults in f32"], strict=True)]
    ratios = [mine / other for mine, other in zip(speeds["ours"], theirs_best, strict=True)]
    figures = {
        "samples": len(samples),
        "tokens": tokens,
        "median_tokens_per_second": {name: round(median(found), 1) for name, found in speeds.items()},
        "ratios_to_the_faster_trl": [round(r, 2) for r in ratios],
        "median_ratio": round(median(ratios), 2),
    }
    print(json.dumps(figures, indent=2))
    if args.into:
        args.into.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def short(sample: Sample) -> Sample:
    """The last exchange alone: about as long as a plain question and answer."""
    start, end = sample.spans[-1]
    begin = sample.spans[-2][1] + 1 if len(sample.spans) > 1 else 0
    return Sample(sample.tokens[begin:end], [[start - begin, end - begin]], sample.character, sample.card, sample.kind, sample.lines)


if __name__ == "__main__":
    main()
