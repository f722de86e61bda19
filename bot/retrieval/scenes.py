"""Scenes out of a character's lines, and finding those that fit a turn: by words (BM25), by meaning (embeddings), or by both.

ChatHaruhi's way of remembering (METHODS 1.1): not single exchanges but whole scenes, the nearest first, up to the first that would
pass the budget: what stands behind it is never pulled forward, however short.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from rank_bm25 import BM25Okapi

from bot.retrieval.tokenize import terms

Search = Literal["bm25", "embeddings", "fused"]
LONGEST = 8  # exchanges; a scene of a whole act would fill every budget alone
_FUSED_K = 60  # reciprocal rank fusion; Cormack, Clarke, Buettcher 2009


class Line(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def said(self) -> str: ...
    @property
    def reply(self) -> str: ...
    @property
    def scene(self) -> str | None: ...


class Embedder(Protocol):
    """Whatever turns texts into vectors of one length, each of norm 1. Blocks; called in a worker thread."""

    def embed(self, texts: Sequence[str]) -> np.ndarray: ...


def scenes(lines: Sequence[Line]) -> list[list[int]]:
    """Positions of lines that belong together, in their order: neighbours with the same scene. A line without one stands alone."""
    found: list[list[int]] = []
    last: str | None = None
    for i, line in enumerate(lines):
        if found and line.scene is not None and line.scene == last and len(found[-1]) < LONGEST:
            found[-1].append(i)
        else:
            found.append([i])
        last = line.scene
    return found


@dataclass(frozen=True, slots=True)
class FoundScene:
    positions: tuple[int, ...]  # of its lines
    score: float


class SceneIndex:
    """An immutable index of one character's scenes; making and searching it is work for a thread."""

    def __init__(self, lines: Sequence[Line], embedder: Embedder | None = None) -> None:
        self._scenes = scenes(lines)
        self._ids = [line.id for line in lines]
        self._embedder = embedder
        texts = ["\n".join(f"{lines[i].said}\n{lines[i].reply}" for i in scene) for scene in self._scenes]
        self._bm25 = BM25Okapi([terms(text) or [""] for text in texts]) if texts else None
        self._vectors = embedder.embed(texts) if embedder is not None and texts else None  # [scenes, size]

    def search(self, text: str, limit: int, *, how: Search = "bm25", without: frozenset[str] = frozenset()) -> list[FoundScene]:
        """The nearest scenes, nearest first. ``without``: a scene is left out when all of its lines are named here."""
        if self._bm25 is None or limit < 1:
            return []
        by_words = self._by_words(text) if how != "embeddings" or self._vectors is None else []
        by_meaning = self._by_meaning(text) if how != "bm25" and self._vectors is not None else []
        ranked = _fused([[i for i, _ in by_words], [i for i, _ in by_meaning]]) if by_words and by_meaning else (by_words or by_meaning)
        kept = [(i, score) for i, score in ranked if not all(self._ids[at] in without for at in self._scenes[i])]
        return [FoundScene(tuple(self._scenes[i]), score) for i, score in kept[:limit]]

    def _by_words(self, text: str) -> list[tuple[int, float]]:
        assert self._bm25 is not None
        wanted = terms(text)
        scores = self._bm25.get_scores(wanted) if wanted else np.zeros(0)
        return [(int(i), float(scores[i])) for i in scores.argsort()[::-1] if scores[i] > 0]

    def _by_meaning(self, text: str) -> list[tuple[int, float]]:
        assert self._embedder is not None and self._vectors is not None
        scores = self._vectors @ self._embedder.embed([text])[0]
        return [(int(i), float(scores[i])) for i in scores.argsort()[::-1]]


def _fused(rankings: Sequence[Sequence[int]]) -> list[tuple[int, float]]:
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, i in enumerate(ranking):
            scores[i] = scores.get(i, 0.0) + 1 / (_FUSED_K + place + 1)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def within(found: Sequence[FoundScene], size: Callable[[FoundScene], int], budget: int) -> list[FoundScene]:
    """The scenes up to the first that would pass the budget, in whatever unit ``size`` counts."""
    kept: list[FoundScene] = []
    for scene in found:
        budget -= size(scene)
        if budget < 0:
            break
        kept.append(scene)
    return kept


class Scenes:
    """The scene indexes of all characters, made when first asked for; a newer revision, or many others, drop one."""

    def __init__(self, embedder: Embedder | None = None, *, keep: int = 64) -> None:
        self._embedder = embedder
        self._keep = keep
        self._indexes: OrderedDict[str, tuple[str, asyncio.Task[SceneIndex]]] = OrderedDict()

    async def search(
        self, character: str, revision: str, lines: Sequence[Line], text: str, limit: int, *, how: Search, without: frozenset[str]
    ) -> list[FoundScene]:
        """Search one character's scenes. Two turns that need the same new index wait for one making of it."""
        known = self._indexes.get(character)
        if known is None or known[0] != revision:
            making = asyncio.create_task(asyncio.to_thread(SceneIndex, lines, self._embedder), name=f"scenes of {character}")
            known = self._indexes[character] = (revision, making)
            if len(self._indexes) > self._keep:
                self._indexes.popitem(last=False)
        self._indexes.move_to_end(character)
        try:
            index = await asyncio.shield(known[1])
        except Exception:
            self._indexes.pop(character, None)  # the next turn tries again instead of meeting the same failure for ever
            raise
        return await asyncio.to_thread(lambda: index.search(text, limit, how=how, without=without))
