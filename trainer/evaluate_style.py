"""How far written replies are from a character's real lines, in figures that nobody has to judge.

Distances are Jensen-Shannon divergences in bits: 0 is the same, 1 has nothing in common. Small sets are never at 0, so the
report prints the distance between two halves of the real lines beside them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trainer.evaluate_metrics import units

_SENTENCE = re.compile(r"[^.!?。！？…]+")
_MARK = re.compile(r"[.,;:!?…'\"“”‘’—–()-]|[。，；：！？、]")
_CAPITAL = re.compile(r"[A-Z]")
FIRST_PERSON = frozenset("i me my mine myself i'm i've i'd i'll 我".split())
FUNCTION_WORDS = frozenset(
    "a an the and or but so because if then that this these those of in on at to for with from by about as is are was were be been "
    "do does did have has had will would can could should may might must not no nor yes what who which when where why how there here "
    "i you he she it we they me him her us them my your his its our their all any some one than too very just only also still".split()
)


@dataclass(frozen=True, slots=True)
class Style:
    """One set of lines. Rates are per hundred words, the catchphrase rate per hundred lines."""

    words_a_line: float
    words_a_sentence: float
    different_words: float  # type/token ratio over the first thousand words
    first_person: float
    capitals: float
    catchphrases: float


@dataclass(frozen=True, slots=True)
class Distance:
    """Between replies and real lines, in bits."""

    function_words: float
    punctuation: float
    letters: float  # runs of three characters


def style(lines: Sequence[str], catchphrases: Sequence[str] = ()) -> Style:
    words = [w for line in lines for w in units(line)]
    sentences = [s for line in lines for s in _SENTENCE.findall(line) if s.strip()]
    hundred = max(len(words), 1) / 100
    said = sum(phrase.casefold().rstrip(".!") in line.casefold() for line in lines for phrase in catchphrases)
    return Style(
        words_a_line=len(words) / max(len(lines), 1),
        words_a_sentence=len(words) / max(len(sentences), 1),
        different_words=len(set(words[:1000])) / max(len(words[:1000]), 1),
        first_person=sum(w in FIRST_PERSON for w in words) / hundred,
        capitals=sum(len(_CAPITAL.findall(line)) for line in lines) / hundred,
        catchphrases=100 * said / max(len(lines), 1),
    )


def distance(lines: Sequence[str], real: Sequence[str]) -> Distance:
    def between(count: Callable[[str], Counter[str]]) -> float:
        return divergence(sum(map(count, lines), Counter()), sum(map(count, real), Counter()))

    return Distance(
        function_words=between(lambda line: Counter(w for w in units(line) if w in FUNCTION_WORDS)),
        punctuation=between(lambda line: Counter(_MARK.findall(line.replace("’", "'")))),
        letters=between(lambda line: Counter(line[i : i + 3] for i in range(len(line) - 2))),
    )


def divergence(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Jensen-Shannon, in bits (Lin 1991). 1 when either side is empty."""
    all_one, all_other = sum(one.values()), sum(other.values())
    if not all_one or not all_other:
        return 1.0
    total = 0.0
    for key in one.keys() | other.keys():
        p, q = one.get(key, 0) / all_one, other.get(key, 0) / all_other
        middle = (p + q) / 2
        total += sum(x * math.log2(x / middle) for x in (p, q) if x) / 2
    return max(total, 0.0)
