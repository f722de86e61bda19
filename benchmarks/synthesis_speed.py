"""Rows a minute from a teacher of ours: all questions at once, one by one, and one by one by a plain ``Llama`` object.

    nice .venv/bin/python benchmarks/synthesis_speed.py --method rolegpt --takes 6 --questions 24 --rounds 3

All three get the same prompts and write the same number of tokens; each turn begins with nothing known, in a process or an engine of
its own, and the order changes from round to round (A B C, C B A). ``Llama`` keeps what two calls after one another begin with, as it
does by itself. Quote the median ratios: on a shared machine only they count.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bot.bench.contestants import Contestant, Serial, Troupe
from bot.characters.cast import Cast
from bot.characters.prompt import PromptRenderer
from bot.config import CharacterSettings
from bot.engine.engine import LlamaEngine
from bot.engine.models import prepare_untuned
from bot.engine.threads import usable_cores
from bot.errors import BotError
from bot.messages import ChannelKey, Prompt
from trainer.instructions import INSTRUCTIONS, read_instructions
from trainer.synthesis.methods import method_of
from trainer.synthesis.settings import SynthesizeSettings
from trainer.synthesis.work import Room
from trainer.teacher import Teacher, open_teacher

AT_ONCE, ONE_BY_ONE, PLAIN = "at once", "one by one", "plain Llama, one by one"


def questions(teacher: Teacher, settings: SynthesizeSettings, characters: Path, count: int) -> list[Prompt]:
    """The first prompts of a method, in the order in which a run asks them."""
    cast = [c for c in Cast.load(characters, CharacterSettings()).house if c.settings.languages[:1] == ("en",)]
    room = Room(
        cast=cast,
        chosen=cast,
        held_out={},
        instructions=[i for i in read_instructions(INSTRUCTIONS) if i.language == "en"],
        settings=settings,
        tokenizer=teacher.engine.tokenizer,
        renderer=PromptRenderer(teacher.engine.tokenizer),
        template=teacher.template,
        context_tokens=teacher.engine.context_tokens,
    )
    asked = [q.ask() for q in method_of(settings.method).questions(room, 0, {})[:count]]
    return [a.prompt or teacher.prompt(a.messages, again=a.again) for a in asked]


async def rows_a_minute(kind: str, settings: SynthesizeSettings, args: argparse.Namespace) -> float:
    async with open_teacher(settings) as teacher:
        prompts = questions(teacher, settings, args.characters, args.questions)
        if kind != PLAIN:
            assert isinstance(teacher.engine, LlamaEngine)
            return await _timed(Troupe(teacher.engine), prompts, args.tokens, settings.concurrent if kind == AT_ONCE else 1)
    plain = await Serial.open(prepare_untuned(settings.models).path, usable_cores(), settings.context_tokens)
    try:
        await plain.ask(Prompt((1, 2, 3), 0, ()), ChannelKey("teacher", "loaded"), 1)
        return await _timed(plain, prompts, args.tokens, 1)
    finally:
        await plain.close()


async def _timed(contestant: Contestant, prompts: Sequence[Prompt], tokens: int, workers: int) -> float:
    waiting = iter(enumerate(prompts))
    began = time.monotonic()

    async def work() -> None:
        for number, prompt in waiting:
            await contestant.ask(prompt, ChannelKey("teacher", str(number)), tokens)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
    return 60 * len(prompts) / (time.monotonic() - began)


async def measure(args: argparse.Namespace) -> list[dict[str, float]]:
    settings = SynthesizeSettings(
        method=args.method, teacher="starter", models=args.models, concurrent=args.concurrent, reply_tokens=args.tokens, takes=args.takes
    )
    found: list[dict[str, float]] = []
    kinds = (AT_ONCE, ONE_BY_ONE, PLAIN)
    for n in range(args.rounds):
        order = kinds if n % 2 == 0 else kinds[::-1]
        found.append({kind: await rows_a_minute(kind, settings, args) for kind in order})
        Console(stderr=True).print(f"round {n + 1}: {found[-1]}", highlight=False)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="rolegpt", choices=("rolegpt", "general"))
    parser.add_argument("--takes", type=int, default=1, help="answers of each question (rolegpt)")
    parser.add_argument("--models", type=Path, default=Path("gguf"))
    parser.add_argument("--characters", type=Path, default=Path("characters"))
    parser.add_argument("--questions", type=int, default=24)
    parser.add_argument("--concurrent", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=40, help="of every answer, ends ignored; at least 16")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    found = asyncio.run(measure(args))
    table = Table("", "rows a minute, median", "at once against it, median ratio", "each round", title=f"{args.method}, takes {args.takes}")
    for kind in (AT_ONCE, ONE_BY_ONE, PLAIN):
        ratios = [r[AT_ONCE] / r[kind] for r in found]
        table.add_row(kind, f"{median(r[kind] for r in found):.1f}", f"{median(ratios):.2f}", ", ".join(f"{r:.2f}" for r in ratios))
    Console().print(table)


if __name__ == "__main__":
    try:
        main()
    except BotError as error:
        sys.exit(str(error))
