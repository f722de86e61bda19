"""What raters' judgements come to: who is preferred, how sure that is, and how far the raters agree. Pure numbers.

Krippendorff's alpha: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011. 1 is perfect agreement, 0 is chance; it
takes any number of raters, and units that not everybody has judged.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

V = TypeVar("V")

RESAMPLES = 1000
Distance = Callable[[V, V], float]


def nominal(left: str, right: str) -> float:
    return float(left != right)


def interval(left: float, right: float) -> float:
    return (left - right) ** 2


def alpha(units: Sequence[Sequence[V]], distance: Distance[V]) -> float | None:
    """Agreement over units, each with the values that its raters gave; None where nothing can be compared."""
    pairable = [unit for unit in units if len(unit) > 1]
    counted = Counter(value for unit in pairable for value in unit)
    n = counted.total()
    if n < 2:
        return None
    observed = sum(sum(distance(v, w) for v in unit for w in unit) / (len(unit) - 1) for unit in pairable) / n
    expected = sum(a * b * distance(v, w) for v, a in counted.items() for w, b in counted.items()) / (n * (n - 1))
    return 1 - observed / expected if expected else None  # everybody always said the same: agreement cannot be told from habit


def preferred(judged: Mapping[str, Sequence[str]]) -> dict[str, float | int | None]:
    """Of pairwise judgements ("a", "b", "tie") by item: how often each was chosen, and the share of a (a tie is half of one).

    The interval holds 95 % of what resampled items give.
    """
    counted = Counter(choice for choices in judged.values() for choice in choices)
    told: dict[str, float | int | None] = {"a": counted["a"], "b": counted["b"], "tie": counted["tie"]}
    items = [choices for choices in judged.values() if choices]
    if not items:
        return {**told, "share_a": None, "low": None, "high": None}
    rng = random.Random(1)
    shares = sorted(_share([rng.choice(items) for _ in items]) for _ in range(RESAMPLES))
    return {**told, "share_a": _share(items), "low": shares[RESAMPLES // 40], "high": shares[-RESAMPLES // 40 - 1]}


def _share(items: Sequence[Sequence[str]]) -> float:
    choices = [choice for item in items for choice in item]
    return sum(1.0 if choice == "a" else 0.5 if choice == "tie" else 0.0 for choice in choices) / len(choices)
