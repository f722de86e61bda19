"""BM25 over a character's lines: which exchanges of the past resemble this turn.

An index is built once per character revision and searched in a worker thread; neither happens on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rank_bm25 import BM25Okapi

from bot.retrieval.tokenize import terms


class Exchange(Protocol):
    """What is searched: something that was said, and what was replied."""

    @property
    def id(self) -> str: ...
    @property
    def said(self) -> str: ...
    @property
    def reply(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Hit:
    id: str
    position: int  # in the lines that were indexed
    score: float


class ExemplarIndex:
    """An immutable index; any number of threads may search it at once."""

    def __init__(self, lines: Sequence[Exchange]) -> None:
        self._ids = [line.id for line in lines]
        # What was said counts twice: a turn resembles the question more than its answer.
        documents = [[*terms(line.said), *terms(line.said), *terms(line.reply)] for line in lines]
        self._bm25 = BM25Okapi([d or [""] for d in documents]) if documents else None

    def search(self, text: str, limit: int, without: frozenset[str] = frozenset()) -> list[Hit]:
        """The best lines, best first; those that share no term with ``text`` are never among them."""
        wanted = terms(text)
        if self._bm25 is None or not wanted or limit < 1:
            return []
        scores = self._bm25.get_scores(wanted)
        order = scores.argsort()[::-1]
        hits: list[Hit] = []
        for i in order[: limit + len(without)]:
            if scores[i] <= 0 or len(hits) == limit:
                break
            if self._ids[i] not in without:
                hits.append(Hit(self._ids[i], int(i), float(scores[i])))
        return hits


class Exemplars:
    """The indexes of all characters, made when first asked for and dropped when a newer revision comes or many others did."""

    def __init__(self, keep: int = 64) -> None:
        self._keep = keep
        self._indexes: OrderedDict[str, tuple[str, asyncio.Task[ExemplarIndex]]] = OrderedDict()

    async def search(
        self, character: str, revision: str, lines: Sequence[Exchange], text: str, limit: int, without: frozenset[str] = frozenset()
    ) -> list[Hit]:
        """Search one character's lines. Two turns that need the same new index wait for one building."""
        known = self._indexes.get(character)
        if known is None or known[0] != revision:
            building = asyncio.create_task(asyncio.to_thread(ExemplarIndex, lines), name=f"index {character}")
            known = self._indexes[character] = (revision, building)
            if len(self._indexes) > self._keep:
                self._indexes.popitem(last=False)
        self._indexes.move_to_end(character)
        try:
            index = await asyncio.shield(known[1])
        except Exception:
            self.forget(character)  # the next turn tries again instead of meeting the same failure for ever
            raise
        return await asyncio.to_thread(index.search, text, limit, without)

    def forget(self, character: str) -> None:
        """Drop a character's index: its lines are gone or changed."""
        self._indexes.pop(character, None)
