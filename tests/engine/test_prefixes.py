"""The bookkeeping of the KV cache against a cache that does what llama.cpp documents, in plain sets."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from bot.engine.prefixes import NoSequence, SequenceTable, common_length

CELLS, SEQUENCES = 40, 5
TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=12)  # so few that beginnings are often shared


class PlainCache:
    """A unified cache as llama.h describes it: a cell has a position, a token and the set of sequences that share it."""

    def __init__(self) -> None:
        self.cells: list[tuple[int, int, set[int]]] = []

    def put(self, sequence: int, position: int, token: int) -> None:
        self.cells.append((position, token, {sequence}))

    def copy(self, source: int, target: int, length: int) -> None:
        assert not self.read(target), "copying onto a sequence that is not empty"
        for position, _, sharers in self.cells:
            if source in sharers and position < length:
                sharers.add(target)

    def trim(self, sequence: int, length: int) -> bool:
        for position, _, sharers in self.cells:
            if position >= length:
                sharers.discard(sequence)
        self.cells = [cell for cell in self.cells if cell[2]]
        return True

    def read(self, sequence: int) -> list[int]:
        return [token for _, token, _ in sorted((cell for cell in self.cells if sequence in cell[2]), key=lambda cell: cell[0])]


class Channels(RuleBasedStateMachine):
    """Channels come and go, continue, are cut short and evicted, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = PlainCache()
        self.table = SequenceTable(self.cache, cells=CELLS, sequences=SEQUENCES)

    live = Bundle("live")

    @rule(target=live, key=st.integers(0, 7), tokens=TOKENS, is_prefix=st.booleans())
    def open(self, key, tokens, is_prefix):
        best = max((common_length(sequence.tokens, tokens) for sequence in self.table), default=0)
        try:
            sequence = self.table.open((is_prefix, key), tokens, is_prefix=is_prefix)
        except NoSequence:
            assert len(self.table.live) == SEQUENCES, "an idle sequence could have been evicted"
            return multiple()
        assert sequence.tokens == tokens[:best], "the longest beginning that was there is reused, and nothing else"
        return sequence

    @rule(sequence=live, tokens=TOKENS)
    def grow(self, sequence, tokens):
        if not self.table.make_room(len(tokens)):
            others = [other for other in self.table if not other.live]
            assert all(other.is_prefix for other in others), "a session was kept while somebody lacked room"
            return
        for token in tokens:
            self.cache.put(sequence.id, len(sequence.tokens), token)
            self.table.extend(sequence, [token])

    @rule(sequence=live, length=st.integers(0, 12))
    def cut(self, sequence, length):
        self.table.cut(sequence, min(length, len(sequence.tokens)))

    @rule(sequence=consumes(live))
    def rest(self, sequence):
        self.table.rest(sequence)

    @rule(sequence=consumes(live))
    def drop(self, sequence):
        self.table.drop(sequence)

    @invariant()
    def mirrors_the_cache(self):
        assert self.table.used_cells == len(self.cache.cells), "shared cells are counted once"
        assert self.table.used_cells <= CELLS
        assert self.table.live_cells() <= self.table.used_cells
        for sequence in self.table:
            assert self.cache.read(sequence.id) == sequence.tokens
        known = {sequence.id for sequence in self.table}
        assert all(sharers <= known for _, _, sharers in self.cache.cells), "a cell belongs to a sequence that nobody knows"


TestChannels = Channels.TestCase
TestChannels.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def filled(table: SequenceTable, cache: PlainCache, key: object, tokens: list[int], *, is_prefix: bool = False):
    sequence = table.open(key, tokens, is_prefix=is_prefix)
    for token in tokens[len(sequence.tokens) :]:
        assert table.make_room(1)
        cache.put(sequence.id, len(sequence.tokens), token)
        table.extend(sequence, [token])
    table.rest(sequence)
    return sequence


@pytest.fixture
def cache() -> PlainCache:
    return PlainCache()


@pytest.fixture
def table(cache: PlainCache) -> SequenceTable:
    return SequenceTable(cache, cells=CELLS, sequences=SEQUENCES)


def test_a_prefix_shared_by_three_sessions_takes_its_cells_once(table, cache):
    """Three channels with one character cost one prefix and three tails."""
    filled(table, cache, "mara", [1] * 10, is_prefix=True)
    for channel in range(3):
        filled(table, cache, channel, [1] * 10 + [channel + 2])

    assert table.used_cells == 10 + 3


def test_idle_sessions_go_before_prefixes_and_the_longest_unused_first(table, cache):
    """What many share is the last to be forgotten."""
    filled(table, cache, "mara", [1] * 10, is_prefix=True)
    for channel in range(3):
        filled(table, cache, channel, [1] * 10 + [channel + 2] * 4)
    table.rest(table.open(0, [1] * 10 + [2] * 4))  # channel 0 talks again

    assert table.make_room(table.cells - table.used_cells + 4)

    assert table.find(1) is None
    assert table.find(0) is not None
    assert table.find("mara") is not None


def test_a_prefix_that_a_live_reply_shares_is_kept_and_one_that_nobody_uses_goes(table, cache):
    """Evicting what somebody shares would free nothing."""
    filled(table, cache, "mara", [1] * 10, is_prefix=True)
    filled(table, cache, "odo", [2] * 10, is_prefix=True)
    live = table.open("lobby", [1] * 10 + [3])

    assert table.make_room(30)

    assert table.find("odo") is None
    assert table.find("mara") is not None
    assert live.tokens == [1] * 10
    assert not table.make_room(31)


def test_the_same_channel_twice_at_once_gets_two_sequences_and_leaves_one(table, cache):
    """A regenerated reply does not write into the one that is still being made."""
    first = table.open("lobby", [1, 2])
    second = table.open("lobby", [1, 2])

    assert first.id != second.id
    table.make_room(2)
    for sequence in (first, second):
        cache.put(sequence.id, 0, 1)
        table.extend(sequence, [1])
        table.rest(sequence)
    assert [sequence.id for sequence in table] == [second.id]


def test_a_model_that_keeps_one_state_shares_only_whole_sequences(cache):
    """Recurrent models cannot forget the end of a sequence, so half of one is worth nothing."""
    table = SequenceTable(cache, cells=CELLS, sequences=SEQUENCES, partial=False)
    filled(table, cache, "mara", [1, 1, 1], is_prefix=True)

    assert table.open(0, [1, 1, 2]).tokens == []
    assert table.open(1, [1, 1, 1, 2]).tokens == [1, 1, 1]
