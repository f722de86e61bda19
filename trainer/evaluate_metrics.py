"""How near a reply is to the line that was really said: ROUGE-L, BLEU, chrF, lengths, and what was copied.

English is compared by word and Chinese by character. Every score here can be bought: recall with length, F1 with echo; the
report prints what an echo, a lookup and a shuffled answer reach beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sacrebleu import corpus_bleu, corpus_chrf

COPIED_WORDS = 12  # a run of so many words that stands in a training line is a copy

_UNITS = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+(?:['’][^\W\u3400-\u9fff]+)?")


def units(text: str) -> list[str]:
    """Words, in lower case; Chinese characters one by one."""
    return [u.replace("’", "'") for u in _UNITS.findall(text.casefold())]


@dataclass(frozen=True, slots=True)
class Nearness:
    """Over a set of replies and what was really said. ROUGE-L and chrF run from 0 to 1, BLEU too."""

    rouge_f1: float
    rouge_recall: float
    bleu: float
    chrf: float
    length_ratio: float  # words of the replies over words of what was really said


def nearness(replies: Sequence[str], references: Sequence[str]) -> Nearness:
    """How near each reply is to its reference; all zeros where there is nothing."""
    if not replies:
        return Nearness(0.0, 0.0, 0.0, 0.0, 0.0)
    pairs = [rouge_l(units(a), units(b)) for a, b in zip(replies, references, strict=True)]
    cut = [" ".join(units(r)) for r in replies]
    true = [" ".join(units(r)) for r in references]
    return Nearness(
        rouge_f1=sum(f for f, _ in pairs) / len(pairs),
        rouge_recall=sum(r for _, r in pairs) / len(pairs),
        bleu=corpus_bleu(cut, [true], tokenize="none", smooth_method="exp").score / 100,
        chrf=corpus_chrf(list(replies), [list(references)]).score / 100,
        length_ratio=sum(len(units(r)) for r in replies) / max(sum(len(units(r)) for r in references), 1),
    )


def rouge_l(said: Sequence[str], true: Sequence[str]) -> tuple[float, float]:
    """(F1, recall) by the longest common subsequence (Lin 2004)."""
    common = _longest_common(said, true)
    if not common:
        return 0.0, 0.0
    precision, recall = common / len(said), common / len(true)
    return 2 * precision * recall / (precision + recall), recall


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    row = [0] * (len(other) + 1)
    for a in one:
        before = 0
        for j, b in enumerate(other, 1):
            above = row[j]
            row[j] = before + 1 if a == b else max(above, row[j - 1])
            before = above
    return row[-1]


class Taught:
    """Every run of :data:`COPIED_WORDS` words in the lines that training saw."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._runs = {run for line in lines for run in runs(units(line), COPIED_WORDS)}

    def copied(self, reply: str) -> bool:
        return any(run in self._runs for run in runs(units(reply), COPIED_WORDS))


def runs(words: Sequence[str], length: int) -> Iterable[tuple[str, ...]]:
    """All stretches of ``length`` words, in order."""
    return (tuple(words[i : i + length]) for i in range(len(words) - length + 1))
