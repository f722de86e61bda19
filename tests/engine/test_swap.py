"""Another model while people talk: nobody loses a word, and what does not work never answers."""

import asyncio
import shutil
from collections import Counter

import pytest

from bot.engine import models
from bot.engine.engine import LlamaEngine
from bot.engine.models import set_current, write_manifest
from bot.engine.swap import SwappingEngine
from bot.errors import ModelNotLoadable
from bot.messages import ChannelKey, Person
from tests.engine.talk import GREEDY, prompt, say, until
from tests.engine.tiny_model import write_tiny_model
from tests.house import RecordingPort, open_test_house, said, settings

SMALL = {"context_tokens": 512, "prefix_megabytes": 0, "threads": 1}


@pytest.fixture
def folder(tmp_path, tiny_model):
    """``first`` is served; ``second`` is another model with a manifest of its own."""
    gguf = tmp_path / "gguf"
    gguf.mkdir()
    shutil.copy(tiny_model, gguf / "first.gguf")
    write_tiny_model(gguf / "second.gguf", seed=8)
    for name in ("first", "second"):
        write_manifest(gguf / f"{name}.gguf", prompt_version=1)
    set_current(gguf, "first")
    return gguf


@pytest.fixture
async def engine(folder, tmp_path):
    config = settings(tmp_path / "data", folder, engine=SMALL)
    engine = await SwappingEngine.load(config.engine, folder, canary_share=0.5)
    yield engine
    await engine.close()


async def test_what_has_begun_ends_on_the_old_model_and_what_begins_is_the_new_ones(engine, folder):
    asked = prompt(engine, "Tell me of the sea.")
    async with asyncio.timeout(60):
        alone, _ = await say(engine, asked)
        begun = engine.stream(asked, GREEDY, channel=ChannelKey("web", "begun"))
        words = (await anext(begun)).text
        set_current(folder, "second")
        swapped = await engine.swap()
        words += "".join([piece.text async for piece in begun])
        after, _ = await say(engine, asked)

    assert (swapped.before.partition("@")[0], swapped.build.partition("@")[0]) == ("first", "second")
    assert words == alone
    assert after != alone
    assert engine.build == swapped.build


async def test_the_old_model_is_freed_after_its_last_turn(engine, folder):
    with engine.hold() as held:
        set_current(folder, "second")
        await engine.swap()
        text, _ = await say(held, prompt(held, "Still there?"))
        assert text

    async with asyncio.timeout(60):
        await held.ended()
    assert (await say(engine, prompt(engine, "And you?")))[0]


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda gguf: (gguf / "second.gguf").write_bytes((gguf / "second.gguf").read_bytes()[:100_000]), "is not what"),
        (lambda gguf: write_manifest(_cut(gguf), prompt_version=1), "not a model that llama.cpp can load"),
        (lambda gguf: write_manifest(gguf / "second.gguf", prompt_version=99), "tuned on prompt version 99"),
        (lambda gguf: write_manifest(gguf / "second.gguf", proof={"text": "Aye.", "tokens": [1, 2]}), "fails parity"),
    ],
    ids=["changed", "truncated", "another layout", "other tokens"],
)
async def test_a_model_that_does_not_work_leaves_the_old_one_serving(engine, folder, break_it, says):
    before = engine.build
    set_current(folder, "second")
    break_it(folder)

    with pytest.raises(ModelNotLoadable, match=rf"(?s){says}.*; {before} goes on"):
        await engine.swap()

    assert models.current_name(folder) == "first"
    assert says in engine.refused
    assert (await say(engine, prompt(engine, "And it still answers?")))[0]
    assert engine.build == before


def _cut(gguf):
    path = gguf / "second.gguf"
    path.write_bytes(path.read_bytes()[:100_000])
    return path


async def test_a_running_troupe_notices_what_another_process_has_chosen(engine, folder):
    watching = asyncio.create_task(engine.watch(0.01))
    try:
        set_current(folder, "second")
        async with asyncio.timeout(60):
            while not engine.build.startswith("second@"):  # noqa: ASYNC110  nobody tells of it
                await asyncio.sleep(0.01)
        (folder / "third.gguf").write_bytes(b"nonsense")
        (folder / "current").write_text("third\n")
        async with asyncio.timeout(60):
            while not engine.refused:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    assert engine.build.startswith("second@")
    assert models.current_name(folder) == "second"


ROOMS = [ChannelKey("web", f"room{number}") for number in range(40)]


def builds(engine):
    """Which build each room has."""
    found = {}
    for room in ROOMS:
        with engine.hold(room) as held:
            found[room] = held.build.partition("@")[0]
    return found


async def test_a_share_of_the_channels_tries_another_model_and_always_the_same_ones(engine, folder):
    models.set_canary(folder, "second")

    canary = await engine.try_out()

    assert canary.build.startswith("second@") and engine.build.startswith("first@")
    rooms = builds(engine)
    assert 8 < list(rooms.values()).count("second") < 32
    assert builds(engine) == rooms
    assert await engine.try_out() is None
    room = next(room for room, build in rooms.items() if build == "second")
    with engine.hold(room) as held:
        assert (await say(held, prompt(held, "What is it like?")))[0]
    assert models.current_name(folder) == "first"


async def test_a_model_that_was_tried_is_given_to_everybody_or_to_nobody(engine, folder):
    """What a room has begun with it ends, and then only one model is in memory."""
    models.set_canary(folder, "second")
    await engine.try_out()
    with engine.hold(next(room for room, build in builds(engine).items() if build == "second")) as held:
        assert await engine.give_up("rated worse") == held.build
        assert set(builds(engine).values()) == {"first"}
        assert (await say(held, prompt(held, "Still there?")))[0]
    async with asyncio.timeout(60):
        await held.ended()
    assert models.read_canary(folder, "second")["came_of_it"] == "rated worse"
    assert await engine.give_up("again") == ""

    models.set_canary(folder, "second")
    await engine.try_out()
    swapped = await engine.adopt("not worse")

    assert swapped.build.startswith("second@") and engine.canary is None
    assert set(builds(engine).values()) == {"second"}
    assert (models.current_name(folder), models.canary_name(folder)) == ("second", "")


async def test_a_tried_model_that_cannot_be_loaded_or_dies_leaves_its_rooms_to_the_other(engine, folder):
    models.set_canary(folder, "second")
    write_manifest(_cut(folder), prompt_version=1)
    with pytest.raises(ModelNotLoadable, match=r"nobody tries it, first@\w+ goes on"):
        await engine.try_out()
    assert models.canary_name(folder) == ""

    write_tiny_model(folder / "second.gguf", seed=8)
    write_manifest(folder / "second.gguf", prompt_version=1)
    models.set_canary(folder, "second")
    await engine.try_out()
    with engine.hold(next(room for room, build in builds(engine).items() if build == "second")) as held:
        await held.close()  # as when its thread dies
    async with asyncio.timeout(60):
        while engine.canary is not None:  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0.01)

    assert "died while it was tried" in engine.refused
    assert set(builds(engine).values()) == {"first"}
    assert (await say(engine, prompt(engine, "And it still answers?")))[0]


async def test_a_running_troupe_notices_what_is_to_be_tried_and_what_no_longer(engine, folder):
    watching = asyncio.create_task(engine.watch(0.01))
    try:
        async with asyncio.timeout(60):
            models.set_canary(folder, "second")
            while engine.canary is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            (folder / models.CANARY).unlink()
            while engine.canary is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_the_engine_that_answers_is_watched_and_the_one_that_left_may_go(engine, folder):
    ended = asyncio.create_task(engine.ended())
    set_current(folder, "second")
    await engine.swap()
    assert (await say(engine, prompt(engine, "Hello")))[0]
    await engine._leaving

    assert not ended.done()
    await engine.close()
    async with asyncio.timeout(60):
        await ended


async def test_nothing_is_lost_or_doubled_while_eight_channels_keep_talking(tmp_path, folder):
    """Every message has one reply of one build, and each reply's stamp names the model that made it."""
    config = settings(tmp_path / "data", folder, engine={"threads": 1, "live_replies": 8})
    ports = [RecordingPort() for _ in range(8)]
    replies = []

    async def talk(house, number, count):
        channel, person = ChannelKey("web", f"room{number}"), Person(f"web:p{number}", f"P{number}")
        for n in range(count):
            done = await house.router.hear(said(f"Mara, what of {n}?", ports[number], channel=channel, author=person))
            replies.extend(await asyncio.wait_for(done, 60))

    async with open_test_house(config) as house:
        engine = house.desk.engine
        talking = [asyncio.create_task(talk(house, number, 3)) for number in range(8)]
        await until(engine, lambda status: status.live >= 4)
        set_current(folder, "second")
        swapped = await engine.swap()
        await asyncio.gather(*talking)
        await asyncio.gather(*(talk(house, number, 1) for number in range(8)))
        stored = await house.desk.store.status()

    assert Counter(reply.stamp.build for reply in replies).keys() == {swapped.before, swapped.build}
    assert {reply.stamp.build for reply in replies[-8:]} == {swapped.build}
    assert len(replies) == 8 * 4 == sum(len(port.messages) for port in ports)
    assert dict(stored.turns) == {"answered": 2 * 8 * 4}
    assert isinstance(engine, SwappingEngine) and not isinstance(engine, LlamaEngine)
