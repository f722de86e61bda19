"""Which conversation is in which part of the KV cache, and where a new one finds the longest beginning that was read already.

The cache has as many *slots* as replies are made at once; each holds one conversation (llama.cpp calls that a stream). A
conversation stays in its slot when its reply is finished, until somebody needs the slot: then it is parked on the ``Shelf``, in
host memory. Restoring 1,400 tokens of the starter takes 6 ms, as long as reading a third of one token, so whatever has been read
once is restored wherever it is found.

Pure bookkeeping: it mirrors what llama.cpp holds, and asks a ``Cache`` to do it. Nothing here knows requests, threads or models.
All of it belongs to the scheduler's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from bot.engine.native import State


class Cache(Protocol):
    """What has to happen in llama.cpp; ``native.Context`` is one."""

    def save(self, sequence: int) -> State:
        """What it holds of a sequence."""
        ...

    def load(self, sequence: int, state: State) -> bool:
        """Fill ``sequence``, which is empty. False, and it stays empty, for a state that does not belong here."""
        ...

    def trim(self, sequence: int, length: int) -> bool:
        """Forget everything from position ``length`` on; False where only 0 is possible."""
        ...


class NoSlot(Exception):
    """Every slot is in use."""


@dataclass(slots=True, eq=False)
class Slot:
    """A part of the cache and the conversation in it."""

    id: int  # llama.cpp's sequence; ``gather`` may change it
    key: Hashable = None  # whose conversation this is; None: nobody's
    tokens: list[int] = field(default_factory=list)  # evaluated, in order; a token's position is its index
    live: bool = False  # somebody works on it: neither to be given away nor to be continued by others
    unwanted: bool = False  # to be emptied as soon as nobody works on it
    used: int = 0  # when it was last of use, in ticks


@dataclass(slots=True, eq=False)
class Parked:
    """A conversation in host memory, or what many conversations begin with."""

    key: Hashable
    tokens: list[int]
    state: State
    used: int = 0


# ------------------------------------------------------------------ host memory


class Shelf:
    """What is parked, within ``limit_bytes``; the longest unused gives way."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._all: dict[Hashable, Parked] = {}
        self._tick = 0
        self.bytes = 0

    def __iter__(self) -> Iterator[Parked]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._all

    def get(self, key: Hashable) -> Parked | None:
        return self._all.get(key)

    def put(self, key: Hashable, tokens: list[int], state: State, *, shared: bool = False) -> None:
        """Keep it in place of what that key had.

        What alone is over the limit is not kept, unless it is shared: with a big model that would be every character's beginning.
        """
        self.remove(key)
        if state.nbytes > self._limit and not shared:
            return
        self._all[key] = parked = Parked(key, tokens, state)
        self.bytes += state.nbytes
        self.touch(parked)
        while self.bytes > self._limit and len(self._all) > 1:
            self.remove(min(self._all.values(), key=lambda other: other.used).key)

    def touch(self, parked: Parked) -> None:
        self._tick += 1
        parked.used = self._tick

    def remove(self, key: Hashable) -> None:
        """Does nothing where there is nothing of that key."""
        parked = self._all.pop(key, None)
        if parked is not None:
            self.bytes -= parked.state.nbytes


# ------------------------------------------------------------------ the cache


class SlotTable:
    """All slots of one cache, and the shelf beside it.

    ``partial`` says whether the end of a conversation can be forgotten; recurrent models keep one state for the whole.
    """

    def __init__(self, cache: Cache, *, slots: int, shelf: Shelf, partial: bool = True) -> None:
        self.shelf = shelf
        self.slots = [Slot(number) for number in range(slots)]
        self._cache = cache
        self._partial = partial
        self._tick = 0

    @property
    def live(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.live]

    @property
    def used_cells(self) -> int:
        return sum(len(slot.tokens) for slot in self.slots)

    def resting(self, key: Hashable) -> Slot | None:
        """The idle slot of that conversation, the newest where there are two."""
        return max((s for s in self.slots if s.key == key and not s.live), key=lambda s: s.used, default=None)

    def conversation(self, key: Hashable) -> list[int]:
        """What has been evaluated of it and is still there, unless somebody works on it."""
        known = self.resting(key) or self.shelf.get(key)
        return known.tokens if known else []

    def overlap(self, tokens: list[int]) -> int:
        """How many tokens at the beginning of ``tokens`` need not be read again."""
        return max((self._shared(source, tokens) for source in self._sources()), default=0)

    # -- taking and giving back

    def open(self, key: Hashable, tokens: list[int]) -> Slot:
        """A live slot that holds as much of the beginning of ``tokens`` as is known anywhere, and nothing else.

        The conversation of that ``key`` is continued in its slot. Any other takes an empty slot or the longest unused, whose
        conversation is parked.

        Raises:
            NoSlot: all of them are live.
        """
        slot = self.resting(key) or self._vacant()
        source: Slot | Parked = max(self._sources(), key=lambda s: (self._shared(s, tokens), s is slot))
        shared = self._shared(source, tokens)
        if isinstance(source, Parked):
            self.shelf.touch(source)  # before something is parked in its place
        if slot.key != key:
            self._park(slot)
        if source is not slot and shared:
            self._restore(source, slot)
        self.cut(slot, min(shared, len(slot.tokens)))
        slot.key, slot.live = key, True
        self.shelf.remove(key)  # it goes on in its slot
        self._touch(slot)
        return slot

    def rest(self, slot: Slot) -> None:
        """Nobody works on it any more; it stays until its slot is needed, for whoever continues it."""
        older = self.resting(slot.key)
        if older is not None:  # the same channel was answered twice at once
            self.clear(older)
        slot.live = False
        self._touch(slot)
        if slot.unwanted or not slot.tokens:
            self.clear(slot)

    def clear(self, slot: Slot) -> None:
        self.cut(slot, 0)
        slot.key, slot.unwanted, slot.used = None, False, 0

    def shelve(self, key: Hashable, slot: Slot, *, shared: bool = False) -> State:
        """Put a copy of what a slot holds on the shelf."""
        state = self._cache.save(slot.id)
        self.shelf.put(key, list(slot.tokens), state, shared=shared)
        return state

    def forget(self, unwanted: Callable[[Hashable], bool]) -> None:
        """Keep nothing of the conversations with such keys; of those that somebody works on, nothing beyond that."""
        for key in [parked.key for parked in self.shelf if unwanted(parked.key)]:
            self.shelf.remove(key)
        for slot in self.slots:
            if slot.live and unwanted(slot.key):
                slot.unwanted = True
            elif unwanted(slot.key):
                self.clear(slot)

    # -- growing and shrinking

    def extend(self, slot: Slot, tokens: list[int]) -> None:
        """Note that ``tokens`` were evaluated at its end."""
        slot.tokens += tokens

    def cut(self, slot: Slot, length: int) -> None:
        """Forget everything from ``length`` on, in llama.cpp too (which may have got further than we noted)."""
        if not self._cache.trim(slot.id, length):
            assert length, "llama.cpp forgets a whole sequence always"
            self._cache.trim(slot.id, 0)
            length = 0
        del slot.tokens[length:]

    # -- side by side

    def gather(self) -> None:
        """Bring live slots side by side: llama.cpp evaluates neighbours in one pass, and each group of them in one of its own.

        Two replies of 1,400 tokens take 58 ms a step as neighbours and 83 ms apart; changing places takes 25 ms, once.
        """
        live, count = self.live, len(self.live)
        places = sorted(slot.id for slot in live)
        if not live or places[-1] - places[0] < count:
            return
        first = max(range(len(self.slots) - count + 1), key=lambda start: sum(start <= place < start + count for place in places))
        inside = range(first, first + count)
        outside = [slot for slot in live if slot.id not in inside]
        idle = [slot for slot in self.slots if slot.id in inside and not slot.live]
        for slot, other in zip(outside, idle, strict=True):
            self._change_places(slot, other)

    def _change_places(self, one: Slot, other: Slot) -> None:
        pair = (one, other)
        states = [self._cache.save(slot.id) if slot.tokens else None for slot in pair]
        for slot in pair:
            self._cache.trim(slot.id, 0)
        one.id, other.id = other.id, one.id
        for slot, state in zip(pair, states, strict=True):
            if state is not None and not self._cache.load(slot.id, state):
                slot.tokens.clear()  # it is read again

    # -- inside

    def _sources(self) -> list[Slot | Parked]:
        return [*(slot for slot in self.slots if not slot.unwanted), *self.shelf]

    def _shared(self, source: Slot | Parked, tokens: list[int]) -> int:
        shared = common_length(source.tokens, tokens)
        return shared if self._partial or shared == len(source.tokens) else 0

    def _restore(self, source: Slot | Parked, slot: Slot) -> None:
        state = source.state if isinstance(source, Parked) else self._cache.save(source.id)
        self.cut(slot, 0)
        if self._cache.load(slot.id, state):
            slot.tokens = list(source.tokens)
        elif isinstance(source, Parked):
            self.shelf.remove(source.key)

    def _vacant(self) -> Slot:
        idle = [slot for slot in self.slots if not slot.live]
        if not idle:
            raise NoSlot
        return min(idle, key=lambda slot: (bool(slot.tokens), slot.used, slot.id))

    def _park(self, slot: Slot) -> None:
        """Keep its conversation for later, unless all of it is on the shelf already."""
        if slot.tokens and not any(common_length(parked.tokens, slot.tokens) == len(slot.tokens) for parked in self.shelf):
            self.shelve(slot.key, slot)

    def _touch(self, slot: Slot) -> None:
        self._tick += 1
        slot.used = self._tick


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
