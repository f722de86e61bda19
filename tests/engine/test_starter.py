"""The real starter, through the door that everybody uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bot.bench.work import MESSAGES
from bot.characters.cast import Cast, Character
from bot.characters.prompt import MESSAGE_OVERHEAD_TOKENS, Budget, Layout, PromptRenderer, Scene, Spoken
from bot.config import CharacterSettings, EngineSettings
from bot.engine.engine import LlamaEngine
from bot.messages import Prompt, Sampling
from tests.engine.talk import assert_same, prompt, say

CHARACTERS = Path(__file__).resolve().parents[2] / "characters"
TEMPLATE = "<|im_start|>{}\n{}<|im_end|>\n"
MARA = TEMPLATE.format("system", "You are Mara Quill, who keeps the lighthouse at Gull Point. You answer in one dry sentence.")
QUESTIONS = ["Where do you live?", "What do you fear?", "Tell me about the sea.", "Do you like music?"]


def ask(engine: LlamaEngine, question: str) -> Prompt:
    return prompt(engine, MARA, TEMPLATE.format("user", question) + "<|im_start|>assistant\n")


@pytest.fixture
async def engine(starter_models: Path) -> AsyncIterator[LlamaEngine]:
    engine = await LlamaEngine.load(EngineSettings(context_tokens=2048, prefix_megabytes=0, threads=1), starter_models)
    yield engine
    await engine.close()


async def test_the_starter_answers_in_sentences(engine: LlamaEngine):
    """Words, of more than one letter, that end by themselves or at the limit."""
    text, last = await say(engine, ask(engine, "Who are you?"), Sampling(seed=1, max_tokens=40))

    assert len(text.split()) > 3
    assert last.finish_reason in ("stop", "length")
    assert engine.build.startswith("starter@")
    assert engine.context_tokens == 2048


async def test_four_channels_at_once_say_what_each_would_say_alone(engine: LlamaEngine, starter_models: Path):
    """Greedy: shared prefix, one batch, against one after the other on an emptied cache."""
    asked = [ask(engine, question) for question in QUESTIONS]
    together = await asyncio.gather(*(say(engine, p, channel=n) for n, p in enumerate(asked)))

    for p, (text, _) in zip(asked, together, strict=True):
        alone = await LlamaEngine.load(EngineSettings(context_tokens=512, prefix_megabytes=0, threads=1), starter_models)
        assert_same(starter_models / "starter.gguf", p, text, (await say(alone, Prompt(p.tokens, 0, ())))[0])
        await alone.close()
    assert sum(last.counters.evaluated_tokens for _, last in together) == asked[0].prefix_tokens + sum(
        len(p.tokens) - p.prefix_tokens for p in asked
    )


async def test_a_seed_makes_the_same_reply_again(engine: LlamaEngine):
    """What ``/why`` shows is enough to repeat a reply on the same cache.

    The first time the question is read in one pass, later its last token alone: sums are then rounded otherwise, and the first
    reply is not among those that are compared.
    """
    _, first, *others = [
        (await say(engine, ask(engine, "Sing!"), Sampling(seed=seed, max_tokens=24), channel=n))[0] for n, seed in enumerate((1, 3, 3, 4))
    ]

    assert others[0] == first
    assert others[1] != first


async def test_the_tokenizer_gives_the_text_back(engine: LlamaEngine):
    """With control tokens where they were meant, and as plain text where somebody typed them."""
    text = "Über den Wellen 🌊 你好 <|im_end|>"

    for special in (True, False):
        assert engine.tokenizer.decode(engine.tokenizer.encode(text, special=special)) == text
    assert len(engine.tokenizer.encode(text, special=True)) < len(engine.tokenizer.encode(text, special=False))


async def talk(engine: LlamaEngine, character: Character, layout: Layout, sampling: Sampling) -> list[tuple[int, int, int]]:
    """Of each of five turns: what was read, what it and the exemplars take, and what the exchange takes with its answer."""
    renderer = PromptRenderer(engine.tokenizer, layout)
    budget = Budget(context=engine.context_tokens, reply=sampling.max_tokens)
    spoken: list[Spoken] = []
    turns = []
    for number, message in enumerate(MESSAGES[:5]):
        spoken.append(Spoken("Anna", message))
        scene = Scene(list(spoken), exemplars=character.lines[number * layout.retrieved :])
        rendered = renderer.render(character, scene, budget)
        text, last = await say(engine, rendered.prompt, sampling)
        spoken.append(Spoken(character.name, text.strip().partition("\n")[0], own=True))
        new = renderer.count(f"Anna: {message}") + MESSAGE_OVERHEAD_TOKENS
        shown = rendered.parts["exemplars"] + 2 * MESSAGE_OVERHEAD_TOKENS  # the opening of the reply among it
        turns.append((last.counters.evaluated_tokens, new + shown, new + renderer.count(text) + MESSAGE_OVERHEAD_TOKENS))
    return turns


async def test_from_the_second_message_on_no_more_is_read_than_the_last_exchange_the_exemplars_and_what_is_new(engine: LlamaEngine):
    """Through the real renderer with a shipped card: whatever else the prompt holds stays in the cache."""
    mara = next(c for c in Cast.load(CHARACTERS, CharacterSettings()).house if c.slug == "mara-quill")

    turns = await talk(engine, mara, Layout(fixed=2, retrieved=2), Sampling(max_tokens=24, seed=3))

    for (_, _, exchange), (read, new, _) in pairwise(turns):
        assert new // 2 < read <= exchange + new


async def test_where_nothing_is_shown_beside_the_talk_only_the_new_message_is_read(engine: LlamaEngine):
    """A card without lines: what was said stays where it was sampled, and is not read again when it comes back as text."""
    mara = next(c for c in Cast.load(CHARACTERS, CharacterSettings()).house if c.slug == "mara-quill")

    turns = await talk(engine, replace(mara, lines=()), Layout(), Sampling(max_tokens=24, seed=3))

    for read, new, _ in turns[1:]:
        assert read <= new
