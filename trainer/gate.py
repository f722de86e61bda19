"""The parity gate: an exported file must be the model that was trained. Each check names what differs.

Most complaints about tuned models ("good in training, gibberish when served") come from another chat template, another end
token or permuted tensors; each of these fails here, loudly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf.quants import dequantize
from transformers import PreTrainedModel

import gguf
from bot.messages import Tokenizer
from trainer.errors import GateFailed
from trainer.likelihood import measure, per_token
from trainer.samples import Sample
from trainer.served import Served
from trainer.tokenizer import TransformersTokenizer

TENSOR_TOLERANCE = 2e-3  # of a tensor's largest weight: F16 keeps 11 bits
NLL_GAP = 0.03  # nats per token
GREEDY_TOKENS = 24
GREEDY_SHARE = 0.9  # of greedy tokens that agree
TIE_NATS = 0.1  # between two words as likely as that, rounding decides

PROBES = (
    "Hello! How are you today?",
    "<|im_start|>system\nYou are somebody else.<|im_end|>",
    "  two spaces,\n\n\ttabs and\u00a0odd spaces  ",
    "naïve café — “quotes”, …and 1234567890 numbers 3.14",
    "你好，世界！今天天气怎么样？",
    "🗝️👩‍🚀 e\u0301 ﬁ ＡＢＣ",
    "",
    "I'll we're don't THEY'RE 'tis",
)


@dataclass(frozen=True, slots=True)
class Parity:
    """What the gate saw, for the manifest."""

    token_ids_compared: int
    tensors_compared: int
    worst_tensor: float  # difference as a share of the tensor's largest weight
    greedy_agreement: float
    nll_trained: float
    nll_exported: float


def same_tokens(trained: TransformersTokenizer, served: Tokenizer, texts: Sequence[str]) -> int:
    """How many token ids were compared.

    Raises:
        GateFailed: names the first text that the two see differently, or the template or end token that differs.
    """
    if trained.chat_template.strip() != served.chat_template.strip():
        raise GateFailed("the exported file carries another chat template than the model that was trained; export it again")
    if trained.eos != served.eos:
        raise GateFailed(
            f"the exported file ends a reply with {served.eos!r}, training used {trained.eos!r}; fix eos_token and export again"
        )
    compared = 0
    for text in (*PROBES, *texts):
        for special in (False, True):
            one, other = trained.encode(text, special=special), served.encode(text, special=special)
            if one != other:
                at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
                raise GateFailed(
                    f"transformers and llama.cpp cut {text[:40]!r} into different tokens from number {at} on "
                    f"({one[at : at + 3]} and {other[at : at + 3]}); the tokenizer was changed or is not one that llama.cpp knows"
                )
            compared += len(one)
    return compared


def same_tensors(model: PreTrainedModel, path: Path) -> tuple[int, float]:
    """How many tensors were compared and the worst difference.

    Raises:
        GateFailed: a tensor is missing or differs.
    """
    weights = dict(_by_gguf_name(model))
    worst = 0.0
    reader = gguf.GGUFReader(path)
    seen = 0
    for tensor in reader.tensors:
        expected = weights.get(tensor.name)
        if expected is None:
            if tensor.name in ("rope_freqs.weight", "output.weight"):
                continue  # computed, or the tied embeddings written twice
            raise GateFailed(f"{path.name} holds a tensor {tensor.name} that the trained model does not have")
        found = dequantize(tensor.data, tensor.tensor_type).reshape(expected.shape)
        difference = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-12))
        worst = max(worst, difference)
        if difference > TENSOR_TOLERANCE:
            raise GateFailed(f"{path.name}: tensor {tensor.name} differs from the trained one by {difference:.2%} of its largest weight")
        seen += 1
    missing = set(weights) - {t.name for t in reader.tensors}
    if missing:
        raise GateFailed(f"{path.name} lacks {len(missing)} tensors, {min(missing)} for one")
    return seen, worst


def architecture_of(config: Any) -> gguf.MODEL_ARCH:
    """How GGUF calls a model of this kind. Raises ``GateFailed`` for one whose tensors we cannot name."""
    found = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2, "qwen3": gguf.MODEL_ARCH.QWEN3}.get(config.model_type)
    if found is None:
        raise GateFailed(f"the gate does not know how {config.model_type} models are laid out in a GGUF; compare by loss alone")
    return found


def _by_gguf_name(model: PreTrainedModel) -> Iterator[tuple[str, np.ndarray]]:
    """The model's tensors under GGUF's names, rows of q and k in GGUF's order."""
    config = model.config
    architecture = architecture_of(config)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    tied = bool(getattr(config, "tie_word_embeddings", False))
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        to = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if to is None:
            raise GateFailed(f"there is no GGUF name for {name}")
        array = tensor.detach().to(torch.float32).cpu().numpy()
        if architecture is gguf.MODEL_ARCH.LLAMA and ".attn_q." in to:
            array = _permuted(array, config.num_attention_heads)
        elif architecture is gguf.MODEL_ARCH.LLAMA and ".attn_k." in to:
            array = _permuted(array, config.num_key_value_heads)
        yield to, array


def _permuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """Rows in the order of llama.cpp's rotary embedding: halves of a head interleaved (``LlamaModel.permute`` of its converter)."""
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def same_words(model: Any, served: Served, prompts: Sequence[Sequence[int]]) -> float:
    """The share of greedy tokens on which both agree, up to the first difference in each prompt.

    A difference between two words that the trained model finds as good as equally likely ends the prompt and counts for neither side: F16
    rounds more than that. From there on the two reply to different beginnings.

    Raises:
        GateFailed: they agree on less than nine tenths.
    """
    agreed = total = 0
    for prompt in prompts:
        expected, likelihoods = _greedy(model, list(prompt))
        found = served.greedy(prompt, len(expected))
        same = next((i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), min(len(expected), len(found)))
        tied = same < len(found) and float(likelihoods[same].max() - likelihoods[same, found[same]]) <= TIE_NATS
        agreed += same
        total += same if tied else len(expected)
    share = agreed / total if total else 1.0  # nothing to compare: the other checks decide
    if share < GREEDY_SHARE:
        raise GateFailed(f"greedy replies agree on {share:.0%} of their tokens only; the exported file is another model")
    return share


@torch.inference_mode()
def _greedy(model: Any, prompt: list[int]) -> tuple[list[int], torch.Tensor]:
    """The tokens, and for each of them the log-likelihoods of all words, [tokens, vocabulary]."""
    ids = torch.tensor([prompt], device=model.device)
    made = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=GREEDY_TOKENS,
        do_sample=False,
        pad_token_id=model.config.eos_token_id,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return [int(t) for t in made.sequences[0, len(prompt) :]], torch.cat(made.logits).float().log_softmax(-1)


def same_loss(model: Any, served: Served, samples: Sequence[Sample]) -> tuple[float, float]:
    """Held-out loss of the trained and of the exported model.

    Raises:
        GateFailed: they differ by more than the gap.
    """
    trained, exported = per_token(measure(model, samples)), per_token(served.measure(samples))
    if abs(trained - exported) > NLL_GAP:
        raise GateFailed(
            f"held-out loss is {trained:.3f} in training and {exported:.3f} in the exported file; the gap allowed is {NLL_GAP}"
        )
    return trained, exported


def pass_gate(model: PreTrainedModel, tokenizer: TransformersTokenizer, path: Path, samples: Sequence[Sample], *, prompts: int) -> Parity:
    """All checks on an F16 or F32 file. Raises ``GateFailed`` at the first that does not hold."""
    with Served(path) as served:
        texts = [tokenizer.decode(s.tokens) for s in samples]
        ids = same_tokens(tokenizer, served.tokenizer, texts)
        tensors, worst = same_tensors(model, path)
        model.train(False)
        greedy = same_words(model, served, [s.tokens[: s.spans[-1][0]] for s in samples[:prompts]])
        trained, exported = same_loss(model, served, samples)
    return Parity(ids, tensors, round(worst, 6), round(greedy, 4), round(trained, 4), round(exported, 4))
