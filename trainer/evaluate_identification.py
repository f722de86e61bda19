"""Who is speaking? Multinomial naive Bayes learns it from real lines and is asked about replies, names and catchphrases masked.

One line says little, so replies are asked about in bundles. What the classifier reaches on real lines that it did not see is
the ceiling: no model is expected above it.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

BUNDLE = 10
BUNDLINGS = 40  # times that each character's replies are shuffled into bundles
# Half of every probability is everybody's. Adding a count to each word instead takes more from whoever says less: the tersest of the
# company was never recognised, not by her real lines either. The share was chosen on real held-out lines.
_BACKGROUND = 0.5
_CLEARLY = 1.5  # times what guessing reaches
_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+(?:['’][^\W\u3400-\u9fff]+)?|[^\w\s]")
_MASK = "\ue000"


class Mask:
    """Takes out what would give a speaker away for nothing: every character's name and every catchphrase."""

    def __init__(self, names: Iterable[str], catchphrases: Iterable[str]) -> None:
        parts = {part for name in names for part in (name, *name.split()) if len(part) > 1}
        phrases = {phrase.rstrip(".!?") for phrase in catchphrases}
        given = sorted((p for p in parts | phrases if p), key=len, reverse=True)
        self._given = re.compile("|".join(rf"(?<!\w){re.escape(p)}(?!\w)" for p in given) or r"(?!)", re.IGNORECASE)

    def __call__(self, text: str) -> str:
        return self._given.sub(_MASK, text)


def features(text: str) -> Counter[str]:
    """Words, pairs of neighbours, marks, and how sentences begin and end: what a manner of speaking is made of."""
    tokens = ["<s>", *(t.replace("’", "'") for t in _TOKEN.findall(text)), "</s>"]
    lowered = [t.casefold() for t in tokens]
    found = Counter(lowered[1:-1])
    found.update(f"{a} {b}" for a, b in pairwise(lowered))
    found.update("Xx" if t[:1].isupper() else "xx" for t in tokens[1:-1] if t[:1].isalpha())
    return found


class NaiveBayes:
    """Multinomial naive Bayes with equal priors, smoothed by what all speakers have in common (Jelinek and Mercer 1980)."""

    def __init__(self, lines: Mapping[str, Sequence[str]]) -> None:
        """``lines``: real, masked lines by character."""
        counts = {who: sum((features(line) for line in of), Counter[str]()) for who, of in lines.items()}
        self._words = {w: i for i, w in enumerate(sorted(set().union(*counts.values())))}
        self.speakers = sorted(counts)
        table = np.zeros((len(self.speakers), len(self._words)))
        for row, who in enumerate(self.speakers):
            for word, count in counts[who].items():
                table[row, self._words[word]] += count
        own = table / table.sum(axis=1, keepdims=True)
        self._logs = np.log((1 - _BACKGROUND) * own + _BACKGROUND * own.mean(axis=0))  # (speakers, words)

    def weigh(self, line: str) -> np.ndarray:
        """Each speaker's log-likelihood of one line. A bundle's is the sum over its lines."""
        weights = np.zeros(len(self.speakers))
        for word, count in features(line).items():
            at = self._words.get(word)
            if at is not None:
                weights += count * self._logs[:, at]
        return weights


@dataclass(frozen=True, slots=True)
class Identified:
    """Shares of right guesses. ``by_character`` is of bundles."""

    bundles: float
    single: float
    by_character: dict[str, float]
    lines: int

    @property
    def tells(self) -> bool:
        """Whether this is clearly more than guessing. A ceiling that is not is none: shares of it would mean nothing."""
        return self.bundles * len(self.by_character) >= _CLEARLY


def identify(classifier: NaiveBayes, replies: Mapping[str, Sequence[str]], *, bundle: int = BUNDLE, seed: int = 1) -> Identified:
    """How often the classifier names the right speaker of masked replies; each character weighs the same."""
    draw = random.Random(seed)
    by_character: dict[str, float] = {}
    single: list[float] = []
    for who, lines in replies.items():
        if not lines:
            continue
        own = classifier.speakers.index(who)
        weights = np.array([classifier.weigh(line) for line in lines])
        single.append(float((weights.argmax(axis=1) == own).mean()))
        hits = [weights[picked].sum(axis=0).argmax() == own for _ in range(BUNDLINGS) for picked in _bundles(len(lines), bundle, draw)]
        by_character[who] = float(np.mean(hits))
    return Identified(
        bundles=float(np.mean(list(by_character.values()))) if by_character else 0.0,
        single=float(np.mean(single)) if single else 0.0,
        by_character=by_character,
        lines=sum(len(lines) for lines in replies.values()),
    )


def _bundles(count: int, size: int, draw: random.Random) -> list[list[int]]:
    """Whole bundles only; fewer lines than one bundle make one."""
    order = list(range(count))
    draw.shuffle(order)
    whole = [order[i : i + size] for i in range(0, count - size + 1, size)]
    return whole or [order]
