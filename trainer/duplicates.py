"""Texts that are nearly the same: character 3-grams, MinHash to find candidates, exact Jaccard to decide.

3-grams of characters and not of words: they need no word borders, so Chinese works, and a question of three words still
has enough of them. The threshold of 0.7 is the one used for de-duplicating instruction data (METHODS: 3-gram Jaccard).
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

SIMILAR = 0.7
_BANDS, _ROWS = 24, 3  # a pair at 0.7 is a candidate with probability 1 - (1 - 0.7^3)^24 > 0.9999
_PRIME = (1 << 61) - 1


def grams(text: str) -> frozenset[str]:
    """The 3-grams of a text without case, punctuation, spaces and width: commas come and go, in Chinese above all."""
    plain = "".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold()))
    padded = f" {plain} "
    return frozenset(padded[i : i + 3] for i in range(max(len(padded) - 2, 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / (len(one | other) or 1)


class NearDuplicates:
    """An index of texts that answers which of them a new text repeats. Grows by :meth:`add`."""

    def __init__(self, *, similar: float = SIMILAR, seed: int = 1) -> None:
        self._similar = similar
        draw = np.random.default_rng(seed)
        self._a = draw.integers(1, 1 << 31, size=_BANDS * _ROWS, dtype=np.int64)
        self._b = draw.integers(0, 1 << 31, size=_BANDS * _ROWS, dtype=np.int64)
        self._buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
        self._grams: list[frozenset[str]] = []

    def add(self, text: str) -> None:
        found = grams(text)
        for key in self._keys(found):
            self._buckets[key].append(len(self._grams))
        self._grams.append(found)

    def like(self, text: str) -> int | None:
        """The position, in order of adding, of a text that this one repeats."""
        found = grams(text)
        for candidate in sorted({i for key in self._keys(found) for i in self._buckets.get(key, ())}):
            if jaccard(found, self._grams[candidate]) >= self._similar:
                return candidate
        return None

    def _keys(self, found: frozenset[str]) -> Sequence[tuple[int, bytes]]:
        hashes = np.array([zlib.crc32(g.encode()) & 0x7FFFFFFF for g in found], dtype=np.int64)  # [grams]
        # 31 bits times 31 bits stays below 2^62: no overflow in int64.
        signature = ((self._a[:, None] * hashes[None, :] + self._b[:, None]) % _PRIME).min(axis=1)  # [bands * rows]
        return [(band, signature[band * _ROWS : (band + 1) * _ROWS].tobytes()) for band in range(_BANDS)]
