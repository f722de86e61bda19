"""Means with 95 % intervals by paired bootstrap: the same exchanges under two conditions, never one number alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.likelihood import Measured

DRAWS = 5_000
_SEED = 1


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and where 95 % of the bootstrap's means lie."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def loss(measured: Sequence[Measured]) -> Interval:
    """Nats per token; each exchange weighs its tokens."""
    return _interval(*_sums(measured, ()))


def difference(one: Sequence[Measured], other: Sequence[Measured]) -> Interval:
    """``one - other`` in nats per token, over pairs: position i of both is the same exchange."""
    assert len(one) == len(other), (len(one), len(other))
    return _interval(*_sums(one, other))


def mean(values: Sequence[float]) -> Interval:
    """A plain mean over items, with its interval."""
    return loss([Measured(value, 1) for value in values])


def average(measured: Sequence[Measured]) -> Measured:
    """One reply under several cards: the mean loss over them. Its tokens are the same each time."""
    return Measured(sum(m.nats for m in measured) / len(measured), measured[0].tokens)


def _sums(one: Sequence[Measured], other: Sequence[Measured]) -> tuple[np.ndarray, np.ndarray]:
    """Columns of nats and of tokens: one for a mean, two for a difference."""
    columns = [c for c in (one, other) if c]
    nats = np.array([[m.nats for m in column] for column in columns], dtype=np.float64).T  # (exchanges, columns)
    tokens = np.array([[m.tokens for m in column] for column in columns], dtype=np.float64).T
    return nats, tokens


def _interval(nats: np.ndarray, tokens: np.ndarray) -> Interval:
    if not len(nats):
        return Interval(float("nan"), float("nan"), float("nan"))

    def told(each_nats: np.ndarray, each_tokens: np.ndarray) -> np.ndarray:
        ratio = each_nats / np.maximum(each_tokens, 1)
        return np.asarray(ratio[..., 0] - (ratio[..., 1] if ratio.shape[-1] > 1 else 0.0))

    picks = np.random.default_rng(_SEED).integers(0, len(nats), size=(DRAWS, len(nats)))
    drawn = told(nats[picks].sum(axis=1), tokens[picks].sum(axis=1))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(float(told(nats.sum(axis=0), tokens.sum(axis=0))), float(low), float(high))
