"""The bookkeeping of the cache's slots against a cache that does what llama.cpp documents, in plain lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from bot.engine.slots import NoSlot, Shelf, SlotTable, common_length

SLOTS, SHELF_BYTES = 4, 20  # a token is a byte here
TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=12)  # so few that beginnings are often shared


class PlainCache:
    """Streams as llama.h describes them: each has tokens of its own, which can be copied out and in as a whole."""

    def __init__(self) -> None:
        self.streams: list[list[int]] = [[] for _ in range(SLOTS)]
        self.loads = 0

    def save(self, sequence: int) -> np.ndarray:
        return np.array(self.streams[sequence], np.uint8)

    def load(self, sequence: int, state: np.ndarray) -> bool:
        assert not self.streams[sequence], "loading into a stream that is not empty"
        self.streams[sequence] = state.tolist()
        self.loads += 1
        return True

    def trim(self, sequence: int, length: int) -> bool:
        del self.streams[sequence][length:]
        return True


class Channels(RuleBasedStateMachine):
    """Channels come and go, continue, are cut short, parked and moved, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = PlainCache()
        self.table = SlotTable(self.cache, slots=SLOTS, shelf=Shelf(SHELF_BYTES))

    live = Bundle("live")

    @rule(target=live, key=st.integers(0, 7), tokens=TOKENS)
    def open(self, key, tokens):
        wanted = [slot for slot in self.table.slots if not slot.unwanted]
        known = [source.tokens for source in (*wanted, *self.table.shelf)]
        best = max((common_length(tokens, other) for other in known), default=0)
        try:
            slot = self.table.open(key, tokens)
        except NoSlot:
            assert len(self.table.live) == SLOTS, "an idle slot could have been given away"
            return multiple()
        assert slot.tokens == tokens[: len(slot.tokens)]
        assert len(slot.tokens) == best, "the longest beginning that was known is reused, and nothing else"
        return slot

    @rule(slot=live, tokens=TOKENS)
    def grow(self, slot, tokens):
        self.cache.streams[slot.id] += tokens
        self.table.extend(slot, tokens)

    @rule(slot=live, length=st.integers(0, 12))
    def cut(self, slot, length):
        self.table.cut(slot, min(length, len(slot.tokens)))

    @rule(slot=consumes(live))
    def rest(self, slot):
        self.table.rest(slot)

    @rule(key=st.integers(0, 7))
    def forget(self, key):
        self.table.forget(lambda known: known == key)
        assert self.table.resting(key) is None
        assert all(parked.key != key for parked in self.table.shelf)
        assert all(slot.unwanted for slot in self.table.live if slot.key == key)

    @rule()
    def gather(self):
        self.table.gather()
        places = sorted(slot.id for slot in self.table.live)
        assert not places or places[-1] - places[0] == len(places) - 1, "live slots are neighbours"

    @invariant()
    def mirrors_the_cache(self):
        assert sorted(slot.id for slot in self.table.slots) == list(range(SLOTS))
        for slot in self.table.slots:
            assert self.cache.streams[slot.id] == slot.tokens
        assert self.table.shelf.bytes == sum(parked.state.nbytes for parked in self.table.shelf) <= SHELF_BYTES
        for parked in self.table.shelf:
            assert parked.state.tolist() == parked.tokens
        resting = [slot.key for slot in self.table.slots if not slot.live and slot.key is not None]
        assert len(resting) == len(set(resting)), "a conversation rests in two slots"


TestChannels = Channels.TestCase
TestChannels.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def talk(table: SlotTable, cache: PlainCache, key: object, tokens: list[int]):
    slot = table.open(key, tokens)
    more = tokens[len(slot.tokens) :]
    cache.streams[slot.id] += more
    table.extend(slot, more)
    table.rest(slot)
    return slot


@pytest.fixture
def cache() -> PlainCache:
    return PlainCache()


@pytest.fixture
def table(cache: PlainCache) -> SlotTable:
    return SlotTable(cache, slots=SLOTS, shelf=Shelf(SHELF_BYTES))


def test_a_conversation_goes_on_in_its_slot_without_a_copy(table, cache):
    """Nothing is moved while there are slots for everybody."""
    slots = [talk(table, cache, key, [key] * 5) for key in range(SLOTS)]

    again = table.open(2, [2] * 6)

    assert again is slots[2]
    assert again.tokens == [2] * 5
    assert cache.loads == 0


def test_the_longest_unused_conversation_is_parked_and_comes_back_whole(table, cache):
    """A fifth channel takes the slot of the first, which then takes the slot of the second."""
    for key in range(SLOTS + 1):
        talk(table, cache, key, [key] * 5)
    assert [parked.key for parked in table.shelf] == [0]

    back = table.open(0, [0] * 6)

    assert back.tokens == [0] * 5
    assert [parked.key for parked in table.shelf] == [1]


def test_the_shelf_keeps_what_was_used_last(table, cache):
    """Twenty bytes hold four conversations of five tokens; who comes back from it is not the next to go."""
    for key in range(SLOTS + 4):
        talk(table, cache, key, [key] * 5)
    assert [parked.key for parked in table.shelf] == [0, 1, 2, 3]

    table.rest(table.open(9, [0] * 5))  # somebody else begins with what channel 0 said

    assert [parked.key for parked in table.shelf] == [0, 2, 3, 4]


def test_what_all_share_is_kept_even_if_it_is_over_the_limit(table):
    """One beginning of a big model; a conversation as big is not kept, and drives nothing out."""
    state = np.zeros(SHELF_BYTES + 1, np.uint8)
    table.shelf.put("prefix", [1] * 21, state, shared=True)
    table.shelf.put("lobby", [2] * 21, state)

    assert [parked.key for parked in table.shelf] == ["prefix"]

    table.shelf.put("other prefix", [3] * 21, state, shared=True)
    assert [parked.key for parked in table.shelf] == ["other prefix"]


def test_what_is_on_the_shelf_already_is_not_copied_again(table, cache):
    """A slot that holds no more than a prefix can be given away for nothing."""
    slot = talk(table, cache, "mara", [1] * 5)
    table.shelve("prefix", slot)
    for key in range(SLOTS):
        talk(table, cache, key, [1] * 5 + [key + 2])

    assert [parked.key for parked in table.shelf] == ["prefix"]


def test_the_same_channel_twice_at_once_gets_two_slots_and_leaves_one(table, cache):
    """A regenerated reply does not write into the one that is still being made."""
    first = table.open("lobby", [1, 2])
    second = table.open("lobby", [1, 2])

    assert first.id != second.id
    for slot in (first, second):
        cache.streams[slot.id] += [1]
        table.extend(slot, [1])
        table.rest(slot)
    assert [slot for slot in table.slots if slot.tokens] == [second]


def test_a_gap_between_live_slots_is_closed_by_one_move(table, cache):
    """The one that stands apart changes places with what rests in the gap; both keep what they hold."""
    live = [table.open(key, [key] * 4) for key in range(SLOTS)]
    for slot in live:
        cache.streams[slot.id] += [live.index(slot)] * 4
        table.extend(slot, [live.index(slot)] * 4)
    table.rest(live[1])
    table.rest(live[3])

    table.gather()

    assert {live[0].id, live[2].id} == {0, 1}
    assert [cache.streams[slot.id] for slot in live] == [[n] * 4 for n in range(SLOTS)]
    assert cache.loads == 2


def test_a_model_that_keeps_one_state_shares_only_whole_conversations(cache):
    """Recurrent models cannot forget the end of a sequence, so half of one is worth nothing."""
    table = SlotTable(cache, slots=SLOTS, shelf=Shelf(SHELF_BYTES), partial=False)
    talk(table, cache, "mara", [1, 1, 1])

    assert table.open(0, [1, 1, 2]).tokens == []
    assert table.open(1, [1, 1, 1, 2]).tokens == [1, 1, 1]
