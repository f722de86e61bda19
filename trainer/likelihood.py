"""Negative log-likelihood of replies under a transformers model, in nats per token over reply and end token.

Samples that begin alike (the same card, the same exemplars) share one evaluation of that beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from transformers import DynamicCache

from trainer.samples import Sample

LEAST_SHARED = 64  # tokens; below that sharing costs more than it saves


@dataclass(frozen=True, slots=True)
class Measured:
    """Sums over one sample's trained tokens."""

    nats: float
    tokens: int

    @property
    def per_token(self) -> float:
        return self.nats / max(self.tokens, 1)


def per_token(measured: Sequence[Measured]) -> float:
    """Nats per token over all samples together."""
    return sum(m.nats for m in measured) / max(sum(m.tokens for m in measured), 1)


@torch.inference_mode()
def measure(model: Any, samples: Sequence[Sample], tick: Callable[[], None] = lambda: None) -> list[Measured]:
    """One :class:`Measured` for each sample, in their order; ``tick`` is called after each."""
    training = model.training
    model.eval()
    try:
        found: list[Measured | None] = [None] * len(samples)
        order = sorted(range(len(samples)), key=lambda i: (samples[i].card, samples[i].tokens))
        for _, group in groupby(order, key=lambda i: samples[i].card):
            indexes = list(group)
            shared = shared_beginning([samples[i] for i in indexes])
            cache = _prefix(model, samples[indexes[0]].tokens[:shared])
            for i in indexes:
                found[i] = _one(model, samples[i], cache, shared)
                tick()
        return [m for m in found if m is not None]
    finally:
        model.train(training)


def shared_beginning(samples: Sequence[Sample]) -> int:
    """How many tokens all samples begin with, before anything that is measured."""
    first = samples[0].tokens
    # The token before the first measured one predicts it, so it has to be evaluated with the sample itself.
    shared = min(s.spans[0][0] - 1 for s in samples)
    for sample in samples[1:]:
        same = next((i for i, (a, b) in enumerate(zip(first, sample.tokens, strict=False)) if a != b), shared)
        shared = min(shared, same)
    return shared if len(samples) > 1 and shared >= LEAST_SHARED else 0


def _prefix(model: Any, tokens: list[int]) -> DynamicCache | None:
    if not tokens:
        return None
    cache = DynamicCache(config=model.config)
    ids = torch.tensor([tokens], device=model.device)
    model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache


def _one(model: Any, sample: Sample, cache: DynamicCache | None, shared: int) -> Measured:
    rest = sample.tokens[shared:]
    ids = torch.tensor([rest], device=model.device)
    at = [i - 1 - shared for start, end in sample.spans for i in range(start, end)]
    targets = torch.tensor([rest[i + 1] for i in at], device=model.device)
    keep = torch.tensor(at, device=model.device)
    if cache is None:
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=keep).logits
    else:
        logits = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=keep).logits
        cache.crop(-len(rest))
    nats = torch.nn.functional.cross_entropy(logits[0].float(), targets, reduction="sum")
    return Measured(float(nats), len(at))
