"""What each layout of a prompt costs: tokens that the engine evaluates for a turn, over a talk of ten turns.

One channel and one character of the company, the real renderer, BM25 over its other lines, replies of the starter. Every layout on
an engine of its own, counted by the engine's own counters. ``first`` is a new channel whose character is known already, ``later``
are the turns after it: what is shown for one turn alone stands before the message, so it and the exchange behind it are read again.

    python benchmarks/engine_layouts.py [--character mara-quill] [--turns 10]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bot.bench.work import MESSAGES
from bot.characters.cast import Cast, Character
from bot.characters.prompt import Budget, Layout, PromptRenderer, Scene, Spoken
from bot.config import CharacterSettings, EngineSettings
from bot.engine.engine import LlamaEngine
from bot.messages import ChannelKey, Sampling
from bot.retrieval.exemplars import Exemplars

HOME = Path(__file__).resolve().parent.parent
CONTEXT_TOKENS, REPLY_TOKENS = 4096, 48
LAYOUTS = {
    "name only": Layout(fixed=0, retrieved=0),
    "card": Layout(fixed=0, retrieved=0),
    "card, 12 fixed": Layout(fixed=12, retrieved=0),
    "card, 3 found, block": Layout(fixed=0, retrieved=3),
    "card, 3 found, turns": Layout(fixed=0, retrieved=3, retrieved_as="turns"),
    "card, 12 fixed, 3 found, turns": Layout(retrieved_as="turns"),
    "card, 12 fixed, 3 found, block (served)": Layout(),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What one turn cost."""

    prompt: int
    evaluated: int


async def talk(models: Path, character: Character, layout: Layout, turns: int) -> tuple[int, list[Asked]]:
    """Tokens of the shared prefix, and the turns."""
    engine = await LlamaEngine.load(EngineSettings(context_tokens=CONTEXT_TOKENS, live_replies=1, prefix_megabytes=0), models)
    renderer, budget = PromptRenderer(engine.tokenizer, layout), Budget(context=engine.context_tokens, reply=REPLY_TOKENS)
    found, channel = Exemplars(), ChannelKey("web", "layouts")
    prefix = renderer.prefix(character, budget)
    await engine.warm(prefix)
    spoken: list[Spoken] = []
    asked: list[Asked] = []
    for turn in range(turns):
        spoken.append(Spoken("Anna", MESSAGES[turn % len(MESSAGES)]))
        hits = await found.search(
            character.id, character.revision, character.lines, spoken[-1].text, layout.retrieved, without=renderer.fixed_ids(character)
        )
        scene = Scene(list(spoken), exemplars=[character.lines[hit.position] for hit in hits])
        prompt = renderer.render(character, scene, budget).prompt
        said: list[str] = []
        async for piece in engine.stream(prompt, Sampling(max_tokens=REPLY_TOKENS, seed=turn), channel=channel):
            said.append(piece.text)
        asked.append(Asked(piece.counters.prompt_tokens, piece.counters.evaluated_tokens))
        spoken.append(Spoken(character.name, "".join(said).strip(), own=True))
    await engine.close()
    return len(prefix), asked


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--character", default="mara-quill")
    arguments.add_argument("--turns", type=int, default=10)
    arguments.add_argument("--models", type=Path, default=HOME / "gguf")
    chosen = arguments.parse_args()
    cast = Cast.load(HOME / "characters", CharacterSettings())
    described = next(c for c in cast.house if c.slug == chosen.character)
    bare = replace(described.card, description="", personality="", scenario="", system_prompt="", post_history_instructions="")
    table = Table("layout", "shared prefix", "last prompt", "read: first", "later, median", "later, most")
    for name, layout in track(LAYOUTS.items(), "layouts"):
        character = replace(described, card=bare, revision="bare") if name == "name only" else described
        prefix, asked = await talk(chosen.models, character, layout, chosen.turns)
        later = asked[1:]
        table.add_row(
            name,
            str(prefix),
            str(asked[-1].prompt),
            str(asked[0].evaluated),
            f"{statistics.median(turn.evaluated for turn in later):.0f}",
            str(max(turn.evaluated for turn in later)),
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    asyncio.run(main())
