"""BM25 over short texts of one conversation: which of them does this turn bring to mind?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rank_bm25 import BM25Plus

from bot.retrieval.tokenize import terms

COMMON_SHARE = 0.2  # a word that stands in more of the texts than this brings nothing particular to mind
COMMON_LEAST = 2


class MemoryIndex:
    """An immutable index; making and searching it is CPU work for a thread.

    BM25+ and not Okapi: with a handful of texts, Okapi gives a word that stands in half of them no weight, or less.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        documents = [terms(text) for text in texts]
        self._words = [frozenset(document) for document in documents]
        counted = Counter(word for words in self._words for word in words)
        common = max(COMMON_LEAST, len(texts) * COMMON_SHARE)
        self._telling = frozenset(word for word, count in counted.items() if count <= common)
        self._bm25 = BM25Plus([document or [""] for document in documents]) if documents else None

    def search(self, text: str, limit: int, *, without: Sequence[str] = ()) -> list[int]:
        """Positions of the best texts, best first; each shares at least one telling word with ``text``.

        ``without`` are names and the like that decide nothing: everybody in a conversation says them.
        """
        idle = {word for each in without for word in terms(each)}
        wanted = [word for word in terms(text) if word not in idle]
        telling = self._telling.intersection(wanted)
        candidates = [at for at, words in enumerate(self._words) if not telling.isdisjoint(words)]
        if self._bm25 is None or not candidates:
            return []
        scores = self._bm25.get_batch_scores(wanted, candidates)
        ranked = sorted(zip(scores, candidates, strict=True), reverse=True)  # of equals, the newer
        return [at for _, at in ranked[:limit]]
