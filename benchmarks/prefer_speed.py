"""Preferences a second on one machine: ours against trl's DPOTrainer, same pairs, alternating.

    .venv/bin/python -m benchmarks.prefer_speed --pairs data/runs/loop-1/lessons/pairs.jsonl --rounds 3

Each turn trains the same pairs from the same base with the same LoRA, a pair a step; turns alternate, each round in the other order, and
the median ratio counts, because a shared machine swings. trl's side gets token ids, its own collator and its own loss, in float32; its
gradient checkpointing is off, as ours is. That both have the same loss and gradient is ``tests/trainer/test_lean_dpo.py``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from statistics import median

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from benchmarks.train_speed import LORA, Clock
from trainer.base import find_base, load_model, load_tokenizer
from trainer.lean_dpo import LeanDPOTrainer, collate
from trainer.preferences import GivenInOrder
from trainer.retrain_lessons import Preference, read_pairs


class Theirs(GivenInOrder, DPOTrainer):
    pass


class Ours(GivenInOrder, LeanDPOTrainer):
    pass


def seconds(kind: type, more: dict, base, tokenizer, pairs: list[Preference]) -> float:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = DPOConfig(
            folder,
            per_device_train_batch_size=1,
            num_train_epochs=1,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
            log_level="error",
            max_length=None,
            bf16=False,
            use_cpu=not torch.cuda.is_available(),
            gradient_checkpointing=False,
            remove_unused_columns=False,
        )
        rows = [{"prompt_ids": p.prompt, "chosen_ids": p.chosen, "rejected_ids": p.rejected} for p in pairs]
        given = {"args": arguments, "train_dataset": Dataset.from_list(rows), "processing_class": tokenizer.inner, "peft_config": LORA}
        trainer = kind(model=load_model(base), callbacks=[clock], **given, **more)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="pairs.jsonl of a retraining or of `troupe-train contrast`")
    parser.add_argument("--base", default="starter")
    parser.add_argument("--take", type=int, default=6, help="so many pairs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore", FutureWarning)
    base = find_base(args.base)
    tokenizer = load_tokenizer(base)
    pairs = read_pairs(args.pairs)[: args.take]
    print(f"{len(pairs)} pairs, {sum(p.tokens for p in pairs)} tokens with each prompt once, {args.threads} threads", flush=True)
    kinds = {"ours": (Ours, {"data_collator": collate}), "trl": (Theirs, {})}
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(args.rounds):
        for name in list(kinds)[:: 1 if turn % 2 == 0 else -1]:
            found[name].append(seconds(*kinds[name], base, tokenizer, pairs) / len(pairs))
            print(f"round {turn + 1} {name}: {found[name][-1]:.1f} s a pair", flush=True)
    ratios = [theirs / ours for theirs, ours in zip(found["trl"], found["ours"], strict=True)]
    print(json.dumps({"pairs": len(pairs), "ratios": [round(r, 2) for r in ratios], "median_ratio": round(median(ratios), 2)}))


if __name__ == "__main__":
    main()
