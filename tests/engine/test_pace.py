"""Chunks by what steps have taken."""

from __future__ import annotations

import pytest

from bot.engine.pace import GAP, LEAST_TOKENS, Pace


@pytest.mark.parametrize(("step", "token"), [(0.05, 0.002), (0.5, 0.02), (0.05, 0.0005)])
def test_a_step_with_a_chunk_takes_so_many_times_as_long_as_one_without(step: float, token: float):
    """Whatever the machine: the chunk fills what is between both."""
    pace = Pace()
    pace.note(7, 0, step)
    pace.note(7, 40, step + 40 * token)

    took = step + pace.chunk(7) * token

    assert GAP * step - token <= took <= GAP * step


def test_it_follows_a_machine_that_becomes_busy():
    """Reading has become four times as slow, the replies have not: chunks shrink to a quarter, not below the least."""
    pace = Pace()
    pace.note(7, 0, 0.1)
    pace.note(7, 100, 0.1 + 100 * 0.001)
    before = pace.chunk(7)

    for _step in range(40):
        pace.note(7, 50, 0.1 + 50 * 0.004)
    assert pace.chunk(7) == pytest.approx(before / 4, rel=0.05)

    for _step in range(40):
        pace.note(7, 50, 0.1 + 50 * 1.0)
    assert pace.chunk(7) == LEAST_TOKENS


def test_reading_alone_says_what_a_token_costs():
    """A prompt that was read before anybody replied is a measurement, too."""
    pace = Pace()
    pace.note(0, 200, 0.2)
    pace.note(1, 0, 0.02)

    assert pace.chunk(1) == int((GAP - 1) * 0.02 / 0.001)
    assert pace.chunk(2) == pace.chunk(1), "of two replies nothing is known yet: as with one"


def test_a_fixed_chunk_is_left_alone():
    """The operator's number, whatever steps take."""
    pace = Pace(32)
    pace.note(7, 0, 1.0)
    pace.note(7, 32, 9.0)

    assert pace.chunk(7) == 32
