"""Rows a minute from a teacher of ours: all questions at once against one after the other, alternating.

    nice .venv/bin/python benchmarks/synthesis_speed.py --teacher starter --questions 8 --rounds 3

The questions are RoleGPT's to the company, answers end where their form ends. Beside the clock it counts the process's own CPU time:
on a machine that others use, too, only that says what batching saves. Quote the median ratio.
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

from bot.characters.cast import Cast
from bot.characters.prompt import PromptRenderer
from bot.config import CharacterSettings
from bot.errors import BotError
from bot.messages import Sampling
from trainer.instructions import INSTRUCTIONS, read_instructions
from trainer.synthesis.methods import method_of
from trainer.synthesis.settings import SynthesizeSettings
from trainer.synthesis.work import Question, Room
from trainer.teacher import Teacher, open_teacher


async def measure(args: argparse.Namespace) -> list[tuple[float, float, float, float]]:
    """Per round: rows a minute and rows a CPU minute, at once and one by one."""
    settings = SynthesizeSettings(
        method="rolegpt", teacher=args.teacher, models=args.models, concurrent=args.questions, reply_tokens=args.tokens, answers=1
    )
    cast = [c for c in Cast.load(args.characters, CharacterSettings()).house if c.settings.languages[:1] == ("en",)]
    found: list[tuple[float, float, float, float]] = []
    async with open_teacher(settings) as teacher:
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
        questions = method_of("rolegpt").questions(room, 0, {})
        for n in range(args.rounds):
            # Other questions each time, so that nothing is in the cache.
            first, second = (questions[(2 * n + k) * args.questions :][: args.questions] for k in (0, 1))
            found.append((*await _timed(teacher, first, together=True), *await _timed(teacher, second, together=False)))
            Console(stderr=True).print(f"round {n + 1}: {found[-1]}", highlight=False)
    return found


async def _timed(teacher: Teacher, questions: Sequence[Question], *, together: bool) -> tuple[float, float]:
    wall, cpu = time.monotonic(), time.process_time()
    if together:
        await asyncio.gather(*(_ask(teacher, q) for q in questions))
    else:
        for question in questions:
            await _ask(teacher, question)
    return 60 * len(questions) / (time.monotonic() - wall), 60 * len(questions) / (time.process_time() - cpu)


async def _ask(teacher: Teacher, question: Question) -> None:
    sampling = Sampling(temperature=0.8, max_tokens=question.tokens, seed=question.seed(1), grammar=question.form.grammar)
    await teacher.ask(question.ask().messages, sampling, question.key)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default="starter")
    parser.add_argument("--models", type=Path, default=Path("gguf"))
    parser.add_argument("--characters", type=Path, default=Path("characters"))
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    found = asyncio.run(measure(args))
    table = Table("", "at once", "one by one", "median ratio", title="rows a minute")
    for name, at, alone in (("clock", 0, 2), ("own CPU time", 1, 3)):
        ratio = median(r[at] / r[alone] for r in found)
        table.add_row(name, f"{median(r[at] for r in found):.1f}", f"{median(r[alone] for r in found):.1f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    try:
        main()
    except BotError as error:
        sys.exit(str(error))
