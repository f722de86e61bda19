"""Turns that are cut short, refused or broken, and the engine that still answers afterwards."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from pathlib import Path

import pytest

from bot.config import EngineSettings
from bot.engine.engine import LlamaEngine
from bot.engine.requests import Request
from bot.errors import EngineBusy, EngineError, EngineStopped, PromptTooLong
from bot.messages import Prompt, Sampling
from tests.engine.talk import DEADLINE_SECONDS, GREEDY, engine_on, prompt, say, until, web

MARA = "<|im_start|>system\nYou are Mara, who keeps the light.<|im_end|>\n"
LONG = Sampling(temperature=0.0, repeat_penalty=1.0, dry_multiplier=0.0, max_tokens=300)


async def still_answers(engine: LlamaEngine) -> None:
    text, last = await say(engine, prompt(engine, MARA, "Are you there?"), channel="afterwards")
    assert text
    assert last.finish_reason == "length"
    status = await until(engine, lambda status: not status.live and not status.waiting)
    assert status.cells_used <= status.cells


async def test_closing_the_stream_stops_the_reply_within_a_token(tiny_model: Path):
    """What was read and said stays reusable; the reply takes no further token."""
    async with engine_on(tiny_model) as engine:
        async with aclosing(engine.stream(prompt(engine, MARA, "Sing!"), LONG, channel=web("lobby"))) as pieces:
            async for _ in pieces:
                break

        status = await until(engine, lambda status: not status.live)

        assert status.reply_tokens == 0, "the reply came to an end that nobody asked for"
        await still_answers(engine)


async def test_a_reply_cancelled_in_the_queue_is_never_begun(tiny_model: Path):
    """The one live place is taken; who leaves the queue leaves nothing."""
    async with engine_on(tiny_model, live_replies=1) as engine, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(say(engine, prompt(engine, MARA, "Sing!"), LONG, channel=1))
        await until(engine, lambda status: status.live == 1)
        second = asyncio.create_task(say(engine, prompt(engine, MARA, "Me too!"), channel=2))
        await until(engine, lambda status: status.waiting == 1)
        assert (engine.position(web(1)), engine.position(web(2)), engine.position(web(3))) == (0, 1, None)

        second.cancel()
        await until(engine, lambda status: status.waiting == 0)

        assert second.cancelled() or await asyncio.wait_for(asyncio.wait([second]), DEADLINE_SECONDS)
        await first
        await still_answers(engine)


async def test_a_reply_cancelled_while_its_prompt_is_read_stops_reading(tiny_model: Path):
    """A long prompt that nobody wants any more is left where it is."""
    async with engine_on(tiny_model, context_tokens=4096, batch_tokens=32) as engine:
        reading = asyncio.create_task(say(engine, prompt(engine, "", "word " * 700), channel=1))
        await until(engine, lambda status: status.cells_used > 0)

        reading.cancel()
        status = await until(engine, lambda status: not status.live)

        assert status.cells_used < 3500
        assert status.evaluated_tokens == 0, "it counted as finished"
        await still_answers(engine)


async def test_a_prefix_whose_first_reader_leaves_is_read_on_for_the_others(tiny_model: Path):
    """The one who paid so far goes; the next in line pays for the rest, and both halves are read once."""
    async with engine_on(tiny_model, context_tokens=2048, batch_tokens=32) as engine:
        asked = prompt(engine, "word " * 300, "Hello?")
        first = asyncio.create_task(say(engine, asked, channel=1))
        await until(engine, lambda status: status.cells_used > 0)
        second = asyncio.create_task(say(engine, asked, channel=2))
        await until(engine, lambda status: status.live == 2)

        first.cancel()
        _, last = await second

        assert 0 < last.counters.evaluated_tokens < len(asked.tokens)
        await still_answers(engine)


async def test_two_thousand_random_turns_with_cancels_leave_an_empty_table(tiny_model: Path):
    """Whenever a turn is cut short, its place and its cells come back."""
    chance = random.Random(1)

    async def turn(engine: LlamaEngine, number: int) -> None:
        asked = prompt(engine, MARA * chance.randint(1, 3), "x" * chance.randint(1, 60))
        sampling = Sampling(max_tokens=chance.randint(1, 30), seed=number)
        stop_after = chance.choice([0, 1, 3, 99])
        background = chance.random() < 0.2
        async with aclosing(engine.stream(asked, sampling, channel=web(number % 7), background=background)) as pieces:
            if stop_after == 0:
                task = asyncio.ensure_future(anext(pieces))
                await asyncio.sleep(chance.random() * 0.01)
                task.cancel()
                await asyncio.wait([task])
                return
            count = 0
            async for _ in pieces:
                count += 1
                if count >= stop_after:
                    break

    async with engine_on(tiny_model, live_replies=5, batch_tokens=48, chunk_tokens=16) as engine:
        for start in range(0, 2000, 20):
            async with asyncio.timeout(DEADLINE_SECONDS):
                await asyncio.gather(*(turn(engine, start + n) for n in range(20)))

        status = await until(engine, lambda status: not status.live and not status.waiting)

        assert status.sequences <= 5
        scheduler = engine._scheduler  # idle now: its thread waits
        assert not scheduler._live
        assert not scheduler._table.live
        assert sorted(slot.id for slot in scheduler._table.slots) == list(range(5))
        for slot in scheduler._table.slots:
            assert scheduler._context.length(slot.id) == len(slot.tokens), "llama.cpp holds something else than we think"
        await still_answers(engine)


async def test_a_full_queue_refuses_and_says_so(tiny_model: Path):
    """Waiting is bounded; the refusal comes before anything is decoded."""
    async with engine_on(tiny_model, live_replies=1, queue=2) as engine:
        asked = prompt(engine, MARA, "Sing!")
        running = [asyncio.create_task(say(engine, asked, LONG, channel=n)) for n in range(1)]
        await until(engine, lambda status: status.live == 1)
        running += [asyncio.create_task(say(engine, asked, channel=n)) for n in (1, 2)]
        await until(engine, lambda status: status.waiting == 2)

        with pytest.raises(EngineBusy, match="2 replies are waiting already; try again"):
            await say(engine, asked, channel=3)

        await asyncio.gather(*running)
        await still_answers(engine)


async def test_a_prompt_that_is_too_long_is_refused_with_both_numbers(tiny_model: Path):
    """The reply's room counts, too."""
    async with engine_on(tiny_model) as engine:
        with pytest.raises(PromptTooLong) as refused:
            await say(engine, Prompt(tuple([5] * 500), 0, ()), GREEDY)

        assert (refused.value.tokens, refused.value.limit) == (500, 512 - GREEDY.max_tokens)
        assert engine.status.steps == 0
        await still_answers(engine)


@pytest.mark.parametrize(("tokens", "words"), [((), "is empty"), ((5, 261), "another one"), ((-1,), "another one")])
async def test_tokens_that_no_renderer_of_this_model_makes_are_refused(tiny_model: Path, tokens: tuple[int, ...], words: str):
    """An empty prompt, and one that was rendered for another model."""
    async with engine_on(tiny_model) as engine:
        with pytest.raises(EngineError, match=words):
            await say(engine, Prompt(tokens, 0, ()))

        await still_answers(engine)


async def test_a_request_that_llama_cpp_refuses_takes_nobody_with_it(tiny_model: Path):
    """In one batch with a token that does not exist, the others are decoded again by themselves."""
    async with engine_on(tiny_model) as engine:
        asked = prompt(engine, MARA, "Sing!")
        alone, _ = await say(engine, asked, LONG, channel="alone")
        running = asyncio.create_task(say(engine, asked, LONG, channel="running"))
        await until(engine, lambda status: status.live == 1)
        broken = Request([5, 6, 1_000_000, 7], 0, GREEDY, web("broken"))

        engine._scheduler.submit(broken)  # past the door, where it would have been refused

        answer = await asyncio.wait_for(broken.mailbox.get(), DEADLINE_SECONDS)
        assert isinstance(answer, EngineError)
        assert "llama_decode gave -1" in str(answer)
        assert len((await running)[0]) == len(alone)
        await still_answers(engine)


async def test_background_work_waits_until_no_person_does(tiny_model: Path):
    """A recap that has the only place is put back when somebody asks, and finished later with the same text."""
    async with engine_on(tiny_model, live_replies=1) as engine:
        recap = prompt(engine, "", "Write a recap.")
        alone, _ = await say(engine, recap, LONG, channel="alone")
        in_order = []

        async def note(name: str, channel: str, asked: Prompt, *, background: bool) -> str:
            text, _ = await say(engine, asked, LONG if background else GREEDY, channel=channel, background=background)
            in_order.append(name)
            return text

        async with asyncio.TaskGroup() as tasks:
            later = tasks.create_task(note("recap", "jobs", recap, background=True))
            await until(engine, lambda status: status.live == 1)
            tasks.create_task(note("person", "lobby", prompt(engine, MARA, "Hello?"), background=False))

        assert in_order == ["person", "recap"]
        assert len(later.result()) == len(alone)


async def test_a_channel_that_asks_for_much_does_not_keep_another_waiting(tiny_model: Path):
    """Five replies wanted in one channel and one in another: the other's is not the sixth."""
    async with engine_on(tiny_model, live_replies=2) as engine:
        done = []

        async def ask(channel: str, text: str) -> None:
            await say(engine, prompt(engine, MARA, text), channel=channel)
            done.append(channel)

        await asyncio.gather(*(ask("busy", f"Number {n}") for n in range(5)), ask("quiet", "Me?"))

    assert done.index("quiet") < 3


async def test_a_person_who_asks_in_many_channels_does_not_keep_another_waiting(tiny_model: Path):
    """Five replies wanted by one person, each in a channel of its own, and one by somebody else, who is not the sixth."""
    async with engine_on(tiny_model, live_replies=2) as engine:
        done = []

        async def ask(person: str, channel: int) -> None:
            async for _ in engine.stream(prompt(engine, MARA, f"Number {channel}"), GREEDY, channel=web(channel), person=person):
                pass
            done.append(person)

        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.gather(*(ask("busy", n) for n in range(5)), ask("quiet", 5))

    assert done.index("quiet") < 3


async def arrivals(engine: LlamaEngine, name: str, asked: Prompt, sampling: Sampling, into: list[str]) -> None:
    """Note each piece under its name, in the order in which the pieces arrive."""
    async for piece in engine.stream(asked, sampling, channel=web(name)):
        if piece.text:
            into.append(name)


async def test_a_long_prompt_does_not_freeze_the_replies_that_run(tiny_model: Path):
    """1,600 tokens in chunks of 16 are a hundred steps, and each of them brings the running reply a token."""
    async with engine_on(tiny_model, context_tokens=2048, chunk_tokens=16) as engine:
        order: list[str] = []
        async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as tasks:
            tasks.create_task(arrivals(engine, "running", prompt(engine, MARA, "Sing!"), LONG, order))
            await until(engine, lambda status: status.cells_used > 80)
            before = len(order)
            tasks.create_task(arrivals(engine, "long", prompt(engine, "", "word " * 320), GREEDY, order))

    assert order.index("long") - before > 90


async def test_a_greeting_does_not_wait_for_a_novel(tiny_model: Path):
    """Of two prompts that are read side by side the short one is answered first, and the long one is answered."""
    async with engine_on(tiny_model, context_tokens=2048, batch_tokens=32) as engine:
        order: list[str] = []
        async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as tasks:
            tasks.create_task(arrivals(engine, "novel", prompt(engine, "", "word " * 320), GREEDY, order))
            await until(engine, lambda status: status.cells_used > 0)
            tasks.create_task(arrivals(engine, "greeting", prompt(engine, "", "Hello!"), GREEDY, order))

    assert order[0] == "greeting"
    assert order.count("novel") == GREEDY.max_tokens


async def test_everybody_is_told_when_the_engine_is_closed_in_the_middle(tiny_model: Path):
    """Live, waiting and later requests end with a sentence, and closing again does nothing."""
    async with engine_on(tiny_model, live_replies=1) as engine:
        asked = prompt(engine, MARA, "Sing!")
        turns = [asyncio.create_task(say(engine, asked, LONG, channel=n)) for n in range(3)]
        await until(engine, lambda status: status.live == 1 and status.waiting == 2)

        await engine.close()
        await engine.close()

        ends = await asyncio.gather(*turns, return_exceptions=True)
        assert [type(end) for end in ends] == [EngineStopped] * 3
        with pytest.raises(EngineStopped, match="not running"):
            await say(engine, asked)
        assert engine.tokenizer.encode("still valid", special=False)


async def in_one_long_step(models: Path) -> tuple[LlamaEngine, asyncio.Task[object]]:
    """An engine in the middle of a step that takes seconds: 4,000 tokens of a prompt at once."""
    engine = await LlamaEngine.load(EngineSettings(context_tokens=8192, batch_tokens=8192), models)
    reading = asyncio.create_task(say(engine, prompt(engine, "", "word " * 4000), channel=1))
    await until(engine, lambda _: bool(engine._scheduler._in_step))
    return engine, reading


async def test_closing_does_not_wait_for_a_long_step(starter_models: Path):
    """llama.cpp gives the step up in the middle: nothing of it counts as read."""
    engine, reading = await in_one_long_step(starter_models)

    await engine.close()

    with pytest.raises(EngineStopped):
        await reading
    assert (engine.status.steps, engine.status.cells_used) == (1, 0)


async def test_a_step_that_nobody_wants_any_more_is_given_up(starter_models: Path):
    """Cancelling the only reply of a step does not wait for its end either."""
    engine, reading = await in_one_long_step(starter_models)

    reading.cancel()
    status = await until(engine, lambda status: status.steps > 0 and not status.live)

    assert status.cells_used == 0, "the step was finished: what it read is in the cache"
    await say(engine, prompt(engine, MARA, "Are you there?"), channel="afterwards")
    await engine.close()
