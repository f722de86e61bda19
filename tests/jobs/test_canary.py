"""A build that a share of the channels tries: their ratings decide."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from bot.config import CanarySettings, MemorySettings
from bot.engine import models
from bot.engine.models import set_current, write_manifest
from bot.engine.swap import SwappingEngine
from bot.jobs.canary import decide, judge
from bot.memory.figures import compared
from bot.memory.store import Store
from bot.messages import ChannelKey, Counters, Stamp
from tests.engine.tiny_model import write_tiny_model
from tests.house import RecordingPort, said, settings

ROOM = ChannelKey("web", "room")
ENOUGH = CanarySettings(share=0.5, least_ratings=5, ratings=12, hours=1)


@pytest.fixture
async def engine(tmp_path):
    gguf = tmp_path / "gguf"
    gguf.mkdir()
    for seed, name in enumerate(("first", "second"), 7):
        write_tiny_model(gguf / f"{name}.gguf", seed=seed)
        write_manifest(gguf / f"{name}.gguf", prompt_version=1)
    set_current(gguf, "first")
    small = settings(tmp_path / "data", gguf, engine={"context_tokens": 512, "threads": 1}).engine
    engine = await SwappingEngine.load(small, gguf, canary_share=0.5)
    models.set_canary(gguf, "second")
    await engine.try_out()
    yield engine
    await engine.close()


@pytest.fixture
async def store(tmp_path):
    store = await Store.open(MemorySettings(), tmp_path / "data")
    yield store
    await store.close()


async def rate(store, build, stars):
    """Replies of a build, each with one rating."""
    port = RecordingPort()
    for value in stars:
        turn = await store.remember(said("Well?", port, channel=ROOM), ["house/ada"], "answered")
        delivery = await store.claim(turn, 0, "house/ada", name="Ada", seed=1)
        await store.opened(delivery, f"{build}-{turn.id}")
        await store.finalise(delivery, "Aye.", Stamp(build, "house/ada", "r1", 1, 1, counters=Counters()))
        await store.rate(delivery.id, "web:ben", value)


async def judged(store, engine, tmp_path, *, later=timedelta()):
    return await judge(store, engine, tmp_path / "gguf", ENOUGH, datetime.now(UTC) + later)


async def test_a_build_that_is_rated_worse_is_taken_away_by_itself(store, engine, tmp_path):
    await rate(store, engine.canary.build, [1, 2, 1, 1, 2, 1])
    assert "tried on" in await judged(store, engine, tmp_path)  # nothing to compare with yet

    await rate(store, engine.build, [5, 4, 5, 5, 3, 5])
    told = await judged(store, engine, tmp_path)

    assert told.startswith("taken away: second@") and "a difference of -3.17 [" in told
    assert (engine.canary, models.current_name(tmp_path / "gguf")) == (None, "first")
    assert models.read_canary(tmp_path / "gguf", "second")["came_of_it"] == told
    assert await judged(store, engine, tmp_path) == "nothing is tried"


async def test_a_build_that_is_not_worse_is_given_to_everybody(store, engine, tmp_path):
    await rate(store, engine.canary.build, [5, 3, 4] * 4)
    await rate(store, engine.build, [4, 3, 4] * 4)

    assert (await judged(store, engine, tmp_path)).startswith("given to everybody: second@")
    assert engine.build.startswith("second@") and engine.canary is None
    assert models.current_name(tmp_path / "gguf") == "second"


async def test_without_ratings_the_hours_decide(store, engine, tmp_path):
    """It has passed its gate; nobody has spoken against it."""
    assert "too few to compare" in await judged(store, engine, tmp_path)
    assert engine.canary is not None

    assert "given to everybody" in await judged(store, engine, tmp_path, later=timedelta(hours=2))
    assert engine.build.startswith("second@")


def test_the_interval_holds_what_it_says():
    """Of a thousand pairs of samples of the same ratings about one in twenty is found different."""
    draw = random.Random(4)
    found = 0
    for _ in range(1000):
        one, two = ([draw.choice([1, 1, 2, 4, 5, 5, 5]) for _ in range(30)] for _ in range(2))
        seen = compared("a", one, "b", two)
        found += not seen.low <= 0 <= seen.high
    assert 25 <= found <= 80
    assert decide(compared("a", [5] * 12, "b", [5] * 12), ENOUGH, over=False) is True
    assert decide(compared("a", [1] * 4, "b", [5] * 40), ENOUGH, over=False) is None
