"""Talking to an engine in tests: prompts as text, replies as text."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.config import EngineSettings
from bot.engine.engine import LlamaEngine
from bot.engine.native import Context, Model
from bot.engine.scheduler import Status
from bot.engine.slots import common_length
from bot.messages import ChannelKey, Counters, Piece, Prompt, Sampling

GREEDY = Sampling(temperature=0.0, repeat_penalty=1.0, dry_multiplier=0.0, max_tokens=24)
DEADLINE_SECONDS = 60


def web(name: object) -> ChannelKey:
    return ChannelKey("web", str(name))


def prompt(engine: LlamaEngine, prefix: str, rest: str = "") -> Prompt:
    """``prefix`` is what every channel shares."""
    shared = engine.tokenizer.encode(prefix, special=True)
    return Prompt(tuple(shared + engine.tokenizer.encode(rest, special=True)), len(shared), ())


async def say(
    engine: LlamaEngine, asked: Prompt, sampling: Sampling = GREEDY, *, channel: object = "lobby", **options: bool
) -> tuple[str, Piece]:
    """The whole reply, and its last piece."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        pieces = [piece async for piece in engine.stream(asked, sampling, channel=web(channel), **options)]
    return "".join(piece.text for piece in pieces), pieces[-1]


async def cost(engine: LlamaEngine, asked: Prompt, *, channel: object = "lobby", sampling: Sampling = GREEDY) -> Counters:
    return (await say(engine, asked, sampling, channel=channel))[1].counters


@asynccontextmanager
async def engine_on(model: Path, **settings: object) -> AsyncIterator[LlamaEngine]:
    """An engine of its own for a test, small unless told otherwise."""
    values = {"model": str(model), "context_tokens": 512, "prefix_megabytes": 0, "threads": 1, **settings}
    engine = await LlamaEngine.load(EngineSettings(**values), model.parent)
    try:
        yield engine
    finally:
        await engine.close()


async def until(engine: LlamaEngine, reached) -> Status:
    """Wait for a status, with a deadline that says what was there instead."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not reached(engine.status):  # noqa: ASYNC110  a snapshot, not an event
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"the engine never got there: {engine.status}") from None
    return engine.status


def assert_same(model: Path, asked: Prompt, got: str, alone: str) -> None:
    """Two greedy replies to one prompt are equal, or part where two tokens were equally good.

    llama.cpp adds up in another order when tokens are read in other groups, and keeps keys and values as f16. How much that moves
    scores depends on model and processor (by 0.02 at most on the tiny model; with a standard deviation of 0.11 on the starter without
    AVX-512), so it is measured here: the same tokens read in one group, and one by one. Where the replies part, the two tokens must
    lie within two standard deviations of what a difference of two scores moves by.
    """
    if got == alone:
        return
    loaded = Model(model)
    theirs, ours = (loaded.tokenize(text, special=False) for text in (got, alone))
    common = common_length(theirs, ours)
    read = [*asked.tokens, *ours[:common]]
    scores, singly = _scores(loaded, read, group=len(read)), _scores(loaded, read, group=1)
    best = sorted(range(len(scores)), key=scores.__getitem__)[-50:]
    moved = math.sqrt(2) * statistics.stdev(scores[token] - singly[token] for token in best)
    gaps = [max(scores) - scores[tokens[common]] for tokens in (theirs, ours) if len(tokens) > common]
    assert len(gaps) == 2, f"one reply ends where the other goes on: {got!r} and {alone!r}"
    assert moved < 0.25, f"reading one by one moves differences of scores by {moved}"
    assert max(gaps) < max(0.04, 2 * moved), (
        f"not a tie: {got!r} and {alone!r} part after {common} tokens with scores {gaps} below the best; reading moves them by {moved}"
    )


def _scores(model: Model, tokens: list[int], *, group: int) -> list[float]:
    """Of what may follow ``tokens``, read ``group`` at a time."""
    context = Context(model, cells=len(tokens) + 8, sequences=1, batch_tokens=group, outputs=1, threads=1, flash_attention="off")
    index = 0
    for position, token in enumerate(tokens):
        index = context.add(token, position, 0, output=position == len(tokens) - 1)
        if (position + 1) % group == 0 or position == len(tokens) - 1:
            assert context.decode() == 0
            context.clear_batch()
    scores = context.logits(index)
    context.close()
    return scores
