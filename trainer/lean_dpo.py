"""trl's DPO with the prompt read once for both replies, without padding, and without logits that nobody asks for.

``DPOTrainer`` reads the prompt with each reply, and on a processor it asks for the logits of every token of it. Here both replies
follow one prompt in one row, in which neither sees the other, and logits are computed where a reply follows. The loss is the library's
(``"sigmoid"``, with ``"sft"`` beside it where that is weighted), and so is everything around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.utils import use_adapter


class LeanDPOTrainer(DPOTrainer):
    """Trains an adapter, one pair at a time, against what the model was before. Rows come from ``collate``."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The loss of one pair. ``num_items_in_batch`` is not used: each pair weighs alike, as in ``DPOTrainer``."""
        inner = self.accelerator.unwrap_model(model)
        # An adapter that was tuned before is trained against a copy of itself, which the library named; a new one against none.
        with torch.no_grad(), use_adapter(inner, adapter_name="ref" if "ref" in inner.peft_config else None):
            chosen_before, rejected_before = _log_probabilities(model, inputs)
        chosen, rejected = _log_probabilities(model, inputs)
        gained, lost = (self.beta * (now.sum() - before.sum()) for now, before in ((chosen, chosen_before), (rejected, rejected_before)))
        weights = dict(zip(self.loss_types, self.loss_weights, strict=True))
        loss = -weights["sigmoid"] * logsigmoid(gained - lost) - weights.get("sft", 0.0) * chosen.mean()
        rewards = {"chosen": gained.item(), "rejected": lost.item(), "margins": (gained - lost).item(), "accuracies": float(gained > lost)}
        for name, value in rewards.items():
            self._metrics["train"][f"rewards/{name}"].append(value)
        return (loss, {}) if return_outputs else loss


def collate(rows: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
    """A pair as a batch: prompt, chosen and rejected reply in one row of T tokens.

    ``input_ids`` and ``position_ids`` are [1, T]; ``attention_mask`` [1, 1, T, T], true where a token sees another; ``at`` the positions
    before each token of the replies, ``following`` those tokens, of which the first ``chosen`` are the chosen reply's.
    """
    (row,) = rows
    prompt, chosen, rejected = row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]
    start, second = len(prompt), len(prompt) + len(chosen)
    end = second + len(rejected)
    sees = torch.ones(end, end, dtype=torch.bool).tril()
    sees[second:, start:second] = False
    return {
        "input_ids": torch.tensor([[*prompt, *chosen, *rejected]]),
        "position_ids": torch.tensor([[*range(second), *range(start, start + len(rejected))]]),
        "attention_mask": sees[None, None],
        "at": torch.tensor([*range(start - 1, second - 1), start - 1, *range(second, end - 1)]),
        "following": torch.tensor([*chosen, *rejected]),
        "chosen": len(chosen),
    }


def _log_probabilities(model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each token of the chosen and of the rejected reply."""
    read = {name: inputs[name] for name in ("input_ids", "position_ids", "attention_mask")}
    logits = model(**read, logits_to_keep=inputs["at"], use_cache=False).logits[0].float()
    found = logits.log_softmax(-1).gather(-1, inputs["following"][:, None]).squeeze(-1)
    return found[: inputs["chosen"]], found[inputs["chosen"] :]
