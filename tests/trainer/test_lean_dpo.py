"""DPO on pairs whose prompt is read once is trl's DPO: the same loss, the same gradient, the same rewards."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from trainer.base import find_base, load_model
from trainer.lean_dpo import LeanDPOTrainer, collate
from trainer.preferences import GivenInOrder

pytestmark = [pytest.mark.trainer, pytest.mark.filterwarnings("ignore::FutureWarning")]  # trl's use of names that transformers renamed

LENGTHS = ((40, 9, 5), (3, 1, 12))  # of prompt, chosen and rejected reply
REWARDS = [f"rewards/{name}" for name in ("chosen", "rejected", "accuracies", "margins")]


def a_pair(prompt, chosen, rejected):
    draw = torch.Generator().manual_seed(prompt)
    sizes = {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}
    return {name: torch.randint(3, 40_000, (size,), generator=draw).tolist() for name, size in sizes.items()}


def differ(model, seed):
    """Other weights in the adapter that is trained; in the one that it is compared with, nothing changes."""
    draw = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_" in name and ".ref." not in name:
            weight.data = torch.randn(weight.shape, generator=draw) * 0.1


class Plain(GivenInOrder, DPOTrainer):
    pass


class Lean(GivenInOrder, LeanDPOTrainer):
    pass


LORA = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")


@pytest.fixture(params=["a new adapter", "an adapter that was tuned before"])
def trainers(request, tiny_base, tokenizer, tmp_path):
    """trl's own and ours, on adapters that have learnt the same something already."""
    before = request.param == "an adapter that was tuned before"

    def made(kind, **more):
        model = load_model(find_base(str(tiny_base)))
        if before:
            model = get_peft_model(model, LORA)
            differ(model, seed=2)
        trainer = kind(
            model=model,
            args=DPOConfig(
                str(tmp_path), per_device_train_batch_size=1, beta=0.3, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.2],
                max_length=None, report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False,
            ),
            train_dataset=Dataset.from_list([a_pair(*lengths) for lengths in LENGTHS]),
            processing_class=tokenizer.inner,
            peft_config=None if before else LORA,
            **more,
        )  # fmt: skip
        differ(trainer.model, seed=1)
        return trainer

    return made(Plain), made(Lean, data_collator=collate)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_a_pair_has_the_loss_and_the_gradient_that_trl_gives_it(trainers, lengths):
    losses, gradients, rewards = [], [], []
    for trainer in trainers:
        batch = trainer.data_collator([a_pair(*lengths)])
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for _, p in trainer.model.named_parameters() if p.requires_grad]))
        rewards.append([trainer._metrics["train"][name][-1] for name in REWARDS])

    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert rewards[1] == pytest.approx(rewards[0], rel=1e-4, abs=1e-5)
    assert gradients[0].norm() > 0
    assert torch.allclose(gradients[1], gradients[0], rtol=1e-3, atol=1e-6 * float(gradients[0].abs().max()) + 1e-7)


def test_a_row_has_the_prompt_once_and_no_padding():
    row = collate([a_pair(40, 9, 5)])

    assert row["input_ids"].shape == row["position_ids"].shape == (1, 54)
    assert row["attention_mask"].shape == (1, 1, 54, 54)
    assert row["following"].tolist() == row["input_ids"][0, 40:].tolist()
