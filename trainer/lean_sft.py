"""trl's trainer without padding and without logits that nobody asks for.

Changed against ``SFTTrainer``: a row is a pack of whole samples (``trainer.packing``), logits are computed at labelled
positions only (a vocabulary of 49,152 makes them a third of a small model's work), held-out loss is measured through shared
prefixes, and rows come in the order of the data. Everything else, checkpoints and exact resume too, is the library's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import SequentialSampler
from trl.trainer.sft_trainer import SFTTrainer

from trainer.likelihood import measure, per_token
from trainer.samples import IGNORED, Sample


class LeanSFTTrainer(SFTTrainer):
    """Trains packed rows; ``watched`` are the samples whose loss is watched."""

    def __init__(self, *args: Any, watched: Sequence[Sample], **kwargs: Any) -> None:
        self._watched = list(watched)
        super().__init__(*args, **kwargs)
        # compute_loss divides by the labels of the whole step itself.
        self.model_accepts_loss_kwargs = True

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean cross entropy over the step's labels; logits only where a label follows."""
        following = inputs["labels"][0, 1:]
        at = (following != IGNORED).nonzero().squeeze(-1)  # [labels]: positions whose next token is trained
        outputs = model(input_ids=inputs["input_ids"], position_ids=inputs["position_ids"], logits_to_keep=at, use_cache=False)
        nats = torch.nn.functional.cross_entropy(outputs.logits[0].float(), following[at], reduction="sum")
        loss = nats / (num_items_in_batch if num_items_in_batch is not None else max(len(at), 1))
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # DDP takes the mean over processes, the labels are of all of them
        return (loss, outputs) if return_outputs else loss

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        started = time.monotonic()
        loss = per_token(measure(self.accelerator.unwrap_model(self.model), self._watched))
        metrics = {f"{metric_key_prefix}_loss": loss, f"{metric_key_prefix}_seconds": round(time.monotonic() - started, 1)}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        """The data's own order: it was shuffled when it was dealt, and a resumed run continues exactly there."""
        rows: Any = train_dataset if train_dataset is not None else self.train_dataset
        return SequentialSampler(rows)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Past trl's own step, which writes a model card for a hub into every checkpoint.
        super(SFTTrainer, self)._save_checkpoint(model, trial)
