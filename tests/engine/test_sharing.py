"""What is read and what is not: counters and equality, on the tiny model."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bot.messages import Prompt, Sampling
from tests.engine.talk import assert_same, cost, engine_on, prompt, say

MARA = "<|im_start|>system\nYou are Mara, who keeps the light.<|im_end|>\n"
ODO = "<|im_start|>system\nYou are Odo, who mends clocks and never hurries.<|im_end|>\n"
HOT = Sampling(temperature=1.5, max_tokens=40)
HELLO = "<|im_start|>user\nHello there!<|im_end|>\n<|im_start|>assistant\n"


async def test_a_prefix_is_evaluated_once_for_eight_channels_that_ask_at_the_same_time(tiny_model: Path):
    """One of them pays for the character; the others wait for it and read only their own message."""
    async with engine_on(tiny_model) as engine:
        asked = [prompt(engine, MARA, f"{number}{HELLO}") for number in range(8)]  # nothing else in common
        tail = len(asked[0].tokens) - asked[0].prefix_tokens

        costs = await asyncio.gather(*(cost(engine, each, channel=i) for i, each in enumerate(asked)))

    assert sorted(c.evaluated_tokens for c in costs) == [tail] * 7 + [len(asked[0].tokens)]
    assert all(c.reused_tokens + c.evaluated_tokens == c.prompt_tokens == len(asked[0].tokens) for c in costs)


async def test_a_warmed_prefix_is_never_paid_for_again(tiny_model: Path):
    """After ``warm`` the very first reply reads its own message only."""
    async with engine_on(tiny_model) as engine:
        asked = prompt(engine, MARA, HELLO)
        await engine.warm(asked.tokens[: asked.prefix_tokens])
        await engine.warm(asked.tokens[: asked.prefix_tokens])

        first = await cost(engine, asked)

        assert first.evaluated_tokens == len(asked.tokens) - asked.prefix_tokens
        assert engine.status.evaluated_tokens == len(asked.tokens), "the second warming read nothing"


async def test_a_conversation_that_goes_on_reads_only_what_is_new(tiny_model: Path):
    """The next prompt continues from the longest common prefix with what the channel's sequence holds."""
    async with engine_on(tiny_model) as engine:
        asked = prompt(engine, MARA, HELLO)
        text, last = await say(engine, asked)
        more = engine.tokenizer.encode(text + "<|im_end|>\n" + HELLO, special=True)
        following = Prompt(asked.tokens + tuple(more), asked.prefix_tokens, ())

        counters = await cost(engine, following)

    in_cache = len(asked.tokens) + last.counters.reply_tokens - 1  # the last token was chosen, and nothing came after it
    assert counters.evaluated_tokens == len(following.tokens) - in_cache


async def test_changing_the_end_of_a_prompt_reads_the_end_again(tiny_model: Path):
    """Exemplars and the message come last because what moves is read again."""
    async with engine_on(tiny_model) as engine:
        await say(engine, prompt(engine, MARA, "a" * 50 + "b" * 20))

        counters = await cost(engine, prompt(engine, MARA, "a" * 50 + "c" * 20))

    assert counters.evaluated_tokens == 20


async def test_the_same_prompt_again_evaluates_one_token(tiny_model: Path):
    """Regenerating costs the last token of the prompt, whose scores are needed."""
    async with engine_on(tiny_model) as engine:
        asked = prompt(engine, MARA, HELLO)
        first, _ = await say(engine, asked)

        again, last = await say(engine, asked)

    assert again == first
    assert last.counters.evaluated_tokens == 1


async def fresh(model: Path, asked: Prompt, **settings: object) -> str:
    """What the model says with nothing else in the cache, read in one piece."""
    async with engine_on(model, **settings) as engine:
        return (await say(engine, Prompt(asked.tokens, 0, ())))[0]


async def test_the_text_does_not_depend_on_sharing_batching_or_chunks(tiny_model: Path):
    """Greedy replies of six channels and two characters at once, with prompts cut into chunks of 16, equal those of fresh engines."""
    async with engine_on(tiny_model, batch_tokens=32, chunk_tokens=16) as engine:
        asked = [prompt(engine, (MARA, ODO)[i % 2], f"Message {i}. " * (i + 1)) for i in range(6)]
        together = await asyncio.gather(*(say(engine, p, channel=i) for i, p in enumerate(asked)))

    for p, (text, _) in zip(asked, together, strict=True):
        assert_same(tiny_model, p, text, await fresh(tiny_model, p))
    assert len({text for text, _ in together}) == 6, "six prompts, six different replies: otherwise this shows nothing"


async def test_the_text_does_not_depend_on_eviction(tiny_model: Path):
    """Twelve channels in four slots, and host memory for some more: everybody is answered, as if alone."""
    async with engine_on(tiny_model, live_replies=4, parked_megabytes=1) as engine:
        asked = [prompt(engine, (MARA, ODO)[i % 2], f"Message {i}. " * 8) for i in range(12)]
        alone = {p: await fresh(tiny_model, p) for p in asked}
        for _turn in range(2):
            said = await asyncio.gather(*(say(engine, p, channel=i) for i, p in enumerate(asked)))
            for p, (text, _) in zip(asked, said, strict=True):
                assert_same(tiny_model, p, text, alone[p])
        status = engine.status
        assert status.cells_used <= status.cells == 4 * 512
        assert status.parked_bytes <= 1_000_000
        assert status.parked > 2, "nothing was parked: this showed nothing"


@pytest.mark.parametrize(
    "settings", [{"cache_type": "q8_0", "flash_attention": "on"}, {"flash_attention": "on"}, {"flash_attention": "off"}]
)
async def test_every_kind_of_cache_is_shared_without_a_change_of_text(tiny_model: Path, settings: dict[str, object]):
    """Cells are shared whatever they hold."""
    async with engine_on(tiny_model, **settings) as engine:
        asked = prompt(engine, MARA, HELLO)
        await engine.warm(asked.tokens[: asked.prefix_tokens])
        shared, _ = await say(engine, asked)

    assert_same(tiny_model, asked, shared, await fresh(tiny_model, asked, **settings))


async def test_one_channel_may_be_answered_twice_at_once(tiny_model: Path):
    """Two replies in one channel do not write into each other."""
    async with engine_on(tiny_model) as engine:
        asked = [prompt(engine, MARA, text) for text in ("Hello", "Goodbye")]

        both = await asyncio.gather(*(say(engine, p, channel="lobby") for p in asked))

    for p, (text, _) in zip(asked, both, strict=True):
        assert_same(tiny_model, p, text, await fresh(tiny_model, p))


async def test_an_edited_character_reads_from_the_edit_on(tiny_model: Path):
    """A card's new revision shares what stayed the same with the old one."""
    async with engine_on(tiny_model) as engine:
        await engine.warm(engine.tokenizer.encode("You keep the light. You like tea.", special=True))

        counters = await cost(engine, prompt(engine, "You keep the light. You like ale.", "Hi"))

    assert counters.evaluated_tokens == len("ale.") + len("Hi")


async def test_a_prompt_that_is_all_prefix_is_answered(tiny_model: Path):
    """Even then the last token is read for the reply."""
    async with engine_on(tiny_model) as engine:
        asked = prompt(engine, MARA)

        text, last = await say(engine, asked)

    assert_same(tiny_model, asked, text, await fresh(tiny_model, asked))
    assert last.counters.evaluated_tokens <= last.counters.prompt_tokens


async def test_seeds_reproduce_a_reply_and_different_seeds_differ(tiny_model: Path):
    """A stamp's seed makes the same reply again."""
    async with engine_on(tiny_model) as engine:
        asked = prompt(engine, MARA, HELLO)

        texts = [(await say(engine, asked, replace(HOT, seed=seed), channel=n))[0] for n, seed in enumerate((5, 5, 6))]

    assert texts[0] == texts[1] != texts[2]
