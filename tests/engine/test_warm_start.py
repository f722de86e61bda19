"""What was read is found again: after a restart, after others had its slot, and beside gaps; by counters and equality."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bot.engine.engine import LlamaEngine
from bot.messages import Counters, Prompt
from tests.engine.talk import GREEDY, assert_same, cost, engine_on, prompt, say, until, web
from tests.engine.tiny_model import write_tiny_model

MARA = "<|im_start|>system\nYou are Mara, who keeps the light.<|im_end|>\n"
ODO = "<|im_start|>system\nYou are Odo, who mends clocks and never hurries.<|im_end|>\n"
HELLO = "<|im_start|>user\nHello there!<|im_end|>\n<|im_start|>assistant\n"
SECRET = "<|im_start|>user\nMy secret is xyzzy-plugh.<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """In a folder of its own: what an engine saves beside it is this test's."""
    return write_tiny_model(tmp_path / "tiny.gguf")


def saved(model: Path) -> list[Path]:
    return sorted((model.parent / "prefixes").glob("*.state"))


async def first_cost(model: Path, prefix: str = MARA, **settings: object) -> Counters:
    """What the first reply of a fresh process reads."""
    async with engine_on(model, prefix_megabytes=1, **settings) as engine:
        return await cost(engine, prompt(engine, prefix, HELLO))


async def test_a_restart_reads_nothing_of_a_known_character(model: Path):
    """The second process reads the message alone, and says what the first said."""
    texts = []
    for _process in range(2):
        async with engine_on(model, prefix_megabytes=1) as engine:
            asked = prompt(engine, MARA, HELLO)
            await engine.warm(asked.tokens[: asked.prefix_tokens])
            read_by_warming = engine.status.evaluated_tokens
            text, last = await say(engine, asked)
        texts.append(text)
        assert last.counters.evaluated_tokens == len(asked.tokens) - asked.prefix_tokens

    assert read_by_warming == 0
    assert_same(model, asked, *texts)


async def test_what_people_said_is_never_written(model: Path):
    """Of a conversation only the character's own beginning reaches the disk: one file, as long as that."""
    async with engine_on(model, prefix_megabytes=1, live_replies=1) as engine:
        asked = prompt(engine, MARA, SECRET)
        for channel in range(3):  # in one slot: conversations are parked
            await say(engine, asked, channel=channel)
        assert engine.status.parked > 1

    (only,) = saved(model)
    a_token = 2 * 2 * 64 * 2  # layers, keys and values, width, bytes
    assert asked.prefix_tokens * a_token < only.stat().st_size < (asked.prefix_tokens + 4) * a_token


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\xff"),
        lambda path: path.write_bytes(b"nothing of the kind"),
    ],
    ids=["emptied", "cut", "one byte", "something else"],
)
async def test_a_damaged_file_is_noticed_and_made_again(model: Path, harm):
    """It costs one reading; the process after that reads nothing of the character."""
    whole = await first_cost(model)
    (path,) = saved(model)
    content = path.read_bytes()
    harm(path)

    rebuilt, after = await first_cost(model), await first_cost(model)

    assert (whole.evaluated_tokens, rebuilt.evaluated_tokens) == (whole.prompt_tokens, whole.prompt_tokens)
    assert after.evaluated_tokens < whole.prompt_tokens
    assert path.read_bytes() == content


async def test_a_state_of_another_model_or_kind_of_cache_is_not_taken(model: Path):
    """Their numbers mean something else, so they are kept apart."""
    whole = await first_cost(model)

    other_cache = await first_cost(model, flash_attention="on")
    write_tiny_model(model, seed=8)
    other_model = await first_cost(model)

    assert whole.evaluated_tokens == other_cache.evaluated_tokens == other_model.evaluated_tokens == whole.prompt_tokens
    assert len(saved(model)) == 3


async def test_a_state_that_llama_cpp_refuses_is_read_again(model: Path):
    """Should the checksum be right and the content be none of ours, the reply is made all the same."""
    async with engine_on(model) as engine:
        asked = prompt(engine, MARA, HELLO)
        alone, _ = await say(engine, asked)
    async with engine_on(model) as engine:
        await engine.warm(asked.tokens[: asked.prefix_tokens])
        scheduler = engine._scheduler  # idle now: its thread waits
        for slot in scheduler._table.slots:
            scheduler._table.clear(slot)
        (parked,) = scheduler._table.shelf
        parked.state[:64] = 255

        text, last = await say(engine, asked)

        assert last.counters.evaluated_tokens == last.counters.prompt_tokens
        assert_same(model, asked, text, alone)


async def test_the_folder_stays_within_its_bounds(model: Path):
    """A megabyte holds one of these beginnings; the longest unused gives way."""
    text = "You are number {}. " + "You keep the light. " * 60
    for number in range(4):
        await first_cost(model, text.format(number), context_tokens=2048)
        kept = saved(model)
        assert sum(path.stat().st_size for path in kept) <= 1_000_000

    assert len(kept) == 1
    assert (await first_cost(model, text.format(3), context_tokens=2048)).reused_tokens > 1000


async def test_a_folder_that_cannot_be_written_stops_nobody(model: Path):
    """Then the character is read at every start, and the log says so."""
    (model.parent / "prefixes").write_text("a file in its place")

    costs = [await first_cost(model) for _ in range(2)]

    assert all(c.evaluated_tokens == c.prompt_tokens for c in costs)


# ------------------------------------------------------------------ host memory


def following(engine: LlamaEngine, asked: Prompt, said: str, more: str) -> Prompt:
    return Prompt(asked.tokens + tuple(engine.tokenizer.encode(said + more, special=True)), asked.prefix_tokens, ())


async def test_a_parked_conversation_goes_on_as_if_nobody_had_been_in_its_slot(model: Path):
    """Six channels take turns in two slots: each reads only what is new, and says what it says in a slot of its own."""
    async with engine_on(model, live_replies=6) as roomy, engine_on(model, live_replies=2) as narrow:
        talks = [[prompt(roomy, (MARA, ODO)[n % 2], f"Channel {n}. ")] * 2 for n in range(6)]
        for _turn in range(3):
            for n, (in_roomy, in_narrow) in enumerate(talks):
                alone, first = await say(roomy, in_roomy, channel=n)
                text, last = await say(narrow, in_narrow, channel=n)
                assert_same(model, in_narrow, text, alone)
                assert last.counters.evaluated_tokens == first.counters.evaluated_tokens
                talks[n] = [following(roomy, asked, alone, " Go on.") for asked in (in_roomy, in_narrow)]

        assert narrow.status.parked >= 4


async def test_without_memory_for_parking_a_character_is_still_read_once(model: Path):
    """Whatever the limits, the beginning that was used last is kept: eight channels at once read it once, and so does a restart."""
    for process in range(2):
        async with engine_on(model, parked_megabytes=0, prefix_megabytes=1) as engine:
            asked = prompt(engine, MARA, HELLO)
            costs = await asyncio.gather(*(cost(engine, asked, channel=n) for n in range(8)))
        read = sum(c.evaluated_tokens for c in costs) - 8 * (len(asked.tokens) - asked.prefix_tokens)
        assert read == (0 if process else asked.prefix_tokens)


async def test_a_forgotten_channel_leaves_nothing_in_memory(model: Path):
    """Neither in its slot nor where conversations are parked; others and the character's beginning stay."""
    async with engine_on(model, live_replies=1) as engine:
        asked = prompt(engine, MARA, SECRET)
        for channel in ("first", "second"):
            await say(engine, asked, channel=channel)
        scheduler = engine._scheduler

        engine.forget(web("first"))
        await say(engine, asked, channel="third")
        engine.forget(web("third"))
        status = await until(engine, lambda status: not status.cells_used)

        assert [parked.key[0] for parked in scheduler._table.shelf] == ["prefix", web("second")]
        assert status.parked == 2
        assert (await cost(engine, asked, channel="first")).evaluated_tokens <= len(asked.tokens) - asked.prefix_tokens


async def test_forgetting_reaches_a_reply_that_is_being_made_when_it_ends(model: Path):
    """It is not cut short, and nothing of it stays; the character's beginning neither, which may be made of somebody's words."""
    async with engine_on(model) as engine:
        asked = prompt(engine, MARA, SECRET)
        await say(engine, asked, channel="before")
        running = asyncio.create_task(say(engine, asked, replace(GREEDY, max_tokens=200), channel="running"))
        await until(engine, lambda status: status.live == 1)

        engine.forget()
        _, last = await running
        status = await until(engine, lambda status: not status.cells_used)

        assert last.counters.reply_tokens == 200
        assert [parked.key for parked in engine._scheduler._table.shelf] == []
        assert status.parked == 0


async def test_moving_a_reply_beside_another_does_not_change_it(model: Path):
    """Four replies run in four slots; two end early and leave gaps, so that the others are moved in the middle of their text."""
    async with engine_on(model, live_replies=4) as engine:
        asked = [prompt(engine, MARA, f"Channel {n}. ") for n in range(4)]
        sampling = [replace(GREEDY, max_tokens=length) for length in (8, 60, 16, 90)]
        said = await asyncio.gather(*(say(engine, asked[n], sampling[n], channel=n) for n in range(4)))
        moved = [slot.id for slot in engine._scheduler._table.slots] != list(range(4))
    for n in range(4):
        async with engine_on(model) as alone:
            expected, _ = await say(alone, Prompt(asked[n].tokens, 0, ()), sampling[n])
        assert_same(model, asked[n], said[n][0], expected)
    assert moved, "no reply was moved: this showed nothing"
