"""Would drafts pay: the next tokens guessed from a character's lines and from the talk, verified in the same step?

Replies are made as served (the real renderer, the shipped cards, eight channels at once). Then each is gone through token by token
as prompt lookup would: where its last ``--ngram`` tokens occur among the character's lines or earlier in the talk, what followed
there is the draft. A drafted token is accepted when it is the one that was said, so this counts what verifying would accept under
the same seed. What a step with drafts in it costs is measured by raw steps, in turns with steps without. Nothing of the engine
needs to know of drafts for this: faster = tokens per step / what a step costs more.

    python benchmarks/engine_drafts.py [--turns 5] [--drafts 1 2 4] [--ngram 2 3] [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bot.bench.work import CastTalk, CastWork
from bot.characters.cast import Cast
from bot.characters.prompt import Budget, PromptRenderer
from bot.config import CharacterSettings, EngineSettings
from bot.engine.engine import LlamaEngine
from bot.engine.models import find_model
from bot.engine.native import Context, Model
from bot.engine.tuning import choose
from bot.messages import Sampling

HOME = Path(__file__).resolve().parent.parent
CHANNELS, REPLY_TOKENS, EXEMPLARS, BEHIND, STEPS = 8, 64, 3, 448, 8


@dataclass(slots=True)
class Replayed:
    """One reply, and what there was to guess it from."""

    lines: Sequence[Sequence[int]]
    before: list[int]
    said: list[int]


@dataclass(slots=True)
class Outcome:
    tokens: int = 0
    drafted: int = 0
    accepted: int = 0
    by_length: dict[int, int] = field(default_factory=dict)  # tokens in a draft: steps


async def replies(models: Path, turns: int) -> list[Replayed]:
    """What the company says in eight channels."""
    engine = await LlamaEngine.load(EngineSettings(prefix_megabytes=0, context_tokens=4096), models)
    cast = Cast.load(HOME / "characters", CharacterSettings())
    budget = Budget(context=engine.context_tokens, reply=REPLY_TOKENS)
    talks = CastWork(PromptRenderer(engine.tokenizer), cast.house, budget, CHANNELS, EXEMPLARS).talks("drafts")

    def encode(text: str) -> list[int]:
        return engine.tokenizer.encode(text, special=False)

    lines = {c.id: [encode(line.reply) for line in c.lines] for c in cast.house}
    found: list[Replayed] = []

    async def turn(talk: CastTalk, number: int) -> None:
        prompt, parts = talk.hear(number), []
        async for piece in engine.stream(prompt, Sampling(max_tokens=REPLY_TOKENS, seed=number), channel=talk.channel):
            parts.append(piece.text)
        text = "".join(parts).strip()
        talk.say(text)
        found.append(Replayed(lines[talk.character.id], list(prompt.tokens), encode(text)))

    for number in range(1, turns + 1):
        await asyncio.gather(*(turn(talk, number) for talk in talks))
    await engine.close()
    return found


def replay(replies: Sequence[Replayed], ngram: int, most: int) -> Outcome:
    outcome = Outcome()
    for reply in replies:
        known: dict[tuple[int, ...], list[int]] = {}
        for line in reply.lines:
            note(known, line, ngram)
        note(known, reply.before, ngram)
        at, context = 0, reply.before[-ngram:]
        while at < len(reply.said):
            draft = known.get(tuple(context[-ngram:]), [])[:most]
            right = next((n for n, (one, other) in enumerate(zip(draft, reply.said[at:], strict=False)) if one != other), len(draft))
            right = min(right, len(reply.said) - at)
            outcome.drafted += len(draft)
            outcome.accepted += right
            outcome.by_length[len(draft)] = outcome.by_length.get(len(draft), 0) + 1
            context = context + reply.said[at : at + right + 1]
            at += right + 1
        outcome.tokens += len(reply.said)
    return outcome


def note(known: dict[tuple[int, ...], list[int]], tokens: Sequence[int], ngram: int) -> None:
    """What follows each n-gram; later places count, as what was said last is likelier to come again."""
    for at in range(len(tokens) - ngram):
        known[tuple(tokens[at : at + ngram])] = list(tokens[at + ngram : at + ngram + 8])


def steps(models: Path, live: int, drafts: Sequence[int], rounds: int) -> dict[int, float]:
    """How many times as long a step takes with so many drafted tokens for each of ``live`` replies; the median of the rounds."""
    settings = EngineSettings()
    file = find_model("current", models)
    choice, model = choose(settings, file), Model(file.path)
    most = max(drafts)
    context = Context(
        model,
        cells=1024 * live,
        sequences=live,
        batch_tokens=max(512, live * (most + 1)),
        outputs=live * (most + 1),
        threads=choice.threads,
        cache_type=choice.cache_type,
        flash_attention=choice.flash_attention,
        unified=False,
    )

    def decode(rows: Sequence[tuple[int, int]], *, output: bool) -> float:
        context.clear_batch()
        for sequence, position in rows:
            context.add((97 + 31 * position + sequence) % model.vocabulary, position, sequence, output=output)
        began = time.perf_counter()
        assert context.decode() == 0
        return time.perf_counter() - began

    decode([(0, position) for position in range(BEHIND)], output=False)
    state = context.save(0)
    for sequence in range(1, live):
        context.load(sequence, state)

    def step(draft: int) -> float:
        times = []
        for _ in range(STEPS):
            for sequence in range(live):
                context.trim(sequence, BEHIND)
            times.append(decode([(s, BEHIND + n) for s in range(live) for n in range(draft + 1)], output=True))
        return statistics.median(times)

    ratios: dict[int, list[float]] = {draft: [] for draft in drafts}
    for _ in range(rounds):
        alone = step(0)
        for draft in drafts:
            ratios[draft].append(step(draft) / alone)
    context.close()
    return {0: 1.0, **{draft: statistics.median(found) for draft, found in ratios.items()}}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--turns", type=int, default=5)
    arguments.add_argument("--drafts", type=int, nargs="+", default=[1, 2, 4])
    arguments.add_argument("--ngram", type=int, nargs="+", default=[2, 3])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--models", type=Path, default=HOME / "gguf")
    chosen = arguments.parse_args()
    said = asyncio.run(replies(chosen.models, chosen.turns))
    lengths = sorted({*range(1, max(chosen.drafts) + 1)})
    costs = {live: steps(chosen.models, live, lengths, chosen.rounds) for live in (1, CHANNELS)}
    table = Table("n-gram", "drafted at most", "accepted", "tokens a step", "faster, 1 reply", f"faster, {CHANNELS} replies")
    for ngram in chosen.ngram:
        for most in chosen.drafts:
            outcome = replay(said, ngram, most)
            count = sum(outcome.by_length.values())
            faster = [outcome.tokens / sum(n * costs[live][length] for length, n in outcome.by_length.items()) for live in costs]
            table.add_row(
                str(ngram),
                str(most),
                f"{outcome.accepted} of {outcome.drafted}",
                f"{outcome.tokens / count:.3f}",
                *(f"{ratio:.2f} times" for ratio in faster),
            )
    told = "; ".join(
        f"{live}: " + ", ".join(f"{length} {cost:.2f}" for length, cost in cost.items() if length) for live, cost in costs.items()
    )
    table.caption = f"{len(said)} replies. A step takes so many times as long with so many drafted tokens for each reply: {told}."
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
