"""Which tokens are in the KV cache, in which sequence, and which may go.

Pure bookkeeping: it mirrors what llama.cpp does with the cells of a unified cache, and asks a ``Cache`` to do it. A cell holds
one token and belongs to every sequence that shares it; it is free again when the last of them forgets it. So a character's
prefix, copied into the sequences of twenty channels, costs its length once.

Nothing here knows requests, threads or models. All of it belongs to the scheduler's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Protocol


class Cache(Protocol):
    """What has to happen in llama.cpp; ``native.Context`` is one."""

    def copy(self, source: int, target: int, length: int) -> None:
        """Let ``target``, which is empty, share the first ``length`` tokens of ``source``."""
        ...

    def trim(self, sequence: int, length: int) -> bool:
        """Forget everything from position ``length`` on; False where only 0 is possible."""
        ...


class NoSequence(Exception):
    """Every sequence is in use."""


@dataclass(slots=True, eq=False)
class CachedSequence:
    """One of llama.cpp's sequences and what is in it."""

    id: int
    key: Hashable  # whose continuation this is
    is_prefix: bool
    tokens: list[int] = field(default_factory=list)  # evaluated, in order; a token's position is its index
    cells: list[int] = field(default_factory=list)  # as many; the same number in two sequences is one shared cell
    live: bool = True  # somebody works on it: neither to be evicted nor to be continued by others
    used: int = 0  # when it was last of use, in ticks


class SequenceTable:
    """All sequences of one cache of ``cells`` tokens.

    ``partial`` says whether a part of a sequence can be forgotten or copied; recurrent models keep one state for the whole.
    """

    def __init__(self, cache: Cache, *, cells: int, sequences: int, partial: bool = True) -> None:
        self.cells = cells
        self.capacity = sequences
        self._cache = cache
        self._partial = partial
        self._holders = [0] * cells  # per cell, how many sequences share it
        self._free_cells = list(range(cells))
        self._free_ids = list(range(sequences))
        self._all: dict[int, CachedSequence] = {}
        self._by_key: dict[Hashable, CachedSequence] = {}  # the newest of each key
        self._tick = 0

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[CachedSequence]:
        return iter(self._all.values())

    @property
    def used_cells(self) -> int:
        return self.cells - len(self._free_cells)

    @property
    def live(self) -> list[CachedSequence]:
        return [sequence for sequence in self._all.values() if sequence.live]

    def live_cells(self) -> int:
        """How many cells could not be had even by evicting everything idle."""
        return len({cell for sequence in self.live for cell in sequence.cells})

    def find(self, key: Hashable) -> CachedSequence | None:
        return self._by_key.get(key)

    def overlap(self, tokens: list[int]) -> int:
        """How many tokens at the beginning of ``tokens`` some live sequence holds: they take no new cells."""
        return max((self._shared(sequence, tokens) for sequence in self.live), default=0)

    # -- taking and giving back

    def open(self, key: Hashable, tokens: list[int], *, is_prefix: bool = False) -> CachedSequence:
        """A live sequence that holds as much of the beginning of ``tokens`` as any sequence does, and nothing else.

        The idle sequence of that ``key`` is continued; where another one holds a longer beginning, that is shared.

        Raises:
            NoSequence: all of them are live.
        """
        own = self._by_key.get(key)
        if own is not None and own.live:
            own = None  # the same channel is answered twice at once: the second reply gets a sequence of its own
        source = max(self._all.values(), key=lambda s: (self._shared(s, tokens), s is own, s.used), default=None)
        shared = self._shared(source, tokens) if source else 0
        if own is None:
            own = self._take(source if shared else None)
        own.key, own.is_prefix, own.live = key, is_prefix, True
        self._by_key[key] = own
        if source is own:
            self.cut(own, shared)
        else:
            self.cut(own, 0)
            if source and shared:
                self._share(source, own, shared)
                self._touch(source)
        self._touch(own)
        return own

    def rest(self, sequence: CachedSequence) -> None:
        """Nobody works on it any more; it stays until its room is needed, for whoever continues it."""
        sequence.live = False
        self._touch(sequence)
        if not sequence.tokens or self._by_key.get(sequence.key) is not sequence:
            self.drop(sequence)

    def drop(self, sequence: CachedSequence) -> None:
        self.cut(sequence, 0)
        del self._all[sequence.id]
        self._free_ids.append(sequence.id)
        if self._by_key.get(sequence.key) is sequence:
            del self._by_key[sequence.key]

    # -- growing and shrinking

    def make_room(self, wanted: int) -> bool:
        """Evict until ``wanted`` cells are free: idle sessions first, then prefixes that nobody uses, each the longest unused first."""
        while len(self._free_cells) < wanted:
            victim = self._victim(lambda s: not s.is_prefix or self._holders[s.cells[-1]] == 1)
            if victim is None:
                return False
            self.drop(victim)
        return True

    def extend(self, sequence: CachedSequence, tokens: list[int]) -> None:
        """Note that ``tokens`` were evaluated at its end. ``make_room`` came first."""
        assert len(tokens) <= len(self._free_cells), f"{len(tokens)} tokens evaluated, {len(self._free_cells)} cells free"
        for token in tokens:
            cell = self._free_cells.pop()
            self._holders[cell] = 1
            sequence.cells.append(cell)
            sequence.tokens.append(token)

    def cut(self, sequence: CachedSequence, length: int) -> None:
        """Forget everything from ``length`` on, in llama.cpp too (which may have got further than we noted)."""
        if not self._cache.trim(sequence.id, length):
            assert length, "llama.cpp forgets a whole sequence always"
            self._cache.trim(sequence.id, 0)
            length = 0
        for cell in sequence.cells[length:]:
            self._holders[cell] -= 1
            if not self._holders[cell]:
                self._free_cells.append(cell)
        del sequence.cells[length:]
        del sequence.tokens[length:]

    # -- inside

    def _shared(self, sequence: CachedSequence, tokens: list[int]) -> int:
        shared = common_length(sequence.tokens, tokens)
        return shared if self._partial or shared == len(sequence.tokens) else 0

    def _share(self, source: CachedSequence, target: CachedSequence, length: int) -> None:
        self._cache.copy(source.id, target.id, length)
        target.tokens = source.tokens[:length]
        target.cells = source.cells[:length]
        for cell in target.cells:
            self._holders[cell] += 1

    def _take(self, source: CachedSequence | None) -> CachedSequence:
        """A sequence to fill: a free one, the longest unused, or in need the very source that was to be copied."""
        if not self._free_ids:
            victim = self._victim(lambda s: s is not source)
            if victim is None and source is not None and not source.live:
                del self._by_key[source.key]
                return source
            if victim is None:
                raise NoSequence
            self.drop(victim)
        sequence = CachedSequence(self._free_ids.pop(), None, is_prefix=False)
        self._all[sequence.id] = sequence
        return sequence

    def _victim(self, allowed: Callable[[CachedSequence], bool]) -> CachedSequence | None:
        idle = (sequence for sequence in self._all.values() if not sequence.live and allowed(sequence))
        return min(idle, key=lambda s: (s.is_prefix, s.used), default=None)

    def _touch(self, sequence: CachedSequence) -> None:
        self._tick += 1
        sequence.used = self._tick


def common_length(left: list[int], right: list[int]) -> int:
    """How many tokens two lists have in common at their beginning. Slices are compared in C: 2,000 tokens take microseconds."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
