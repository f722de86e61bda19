"""Stage ``synthesize``: what no source says, made by a teacher. ``trainer.synthesis`` has the methods, this the frame around them.

Every answer is written down at once, so that a killed run repeats nothing; every row says how it came to be, every dropped one why.
"""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bot.characters.cast import CARD_FILE, Cast, Character
from bot.characters.lines import LINES_FILE, read_lines
from bot.characters.prompt import PROMPT_VERSION, PromptRenderer
from bot.config import CharacterSettings
from bot.errors import CardError
from trainer.errors import SourceRefused
from trainer.extract.exchanges import HELD_OUT_FILE
from trainer.instructions import INSTRUCTIONS, KINDS, read_instructions
from trainer.journal import Journal
from trainer.manifest import begin, fingerprint, write_json
from trainer.options import add_run, add_settings, settings_from
from trainer.runs import run_folder, working_in
from trainer.synthesis.asking import Told, ask_all, estimate
from trainer.synthesis.methods import METHODS, method_of
from trainer.synthesis.prompts import PROMPTS_VERSION
from trainer.synthesis.report import figures, write_report, write_sheet
from trainer.synthesis.settings import SynthesizeSettings
from trainer.synthesis.sifting import sift
from trainer.synthesis.work import Method, Room
from trainer.teacher import Teacher, open_teacher

__all__ = ["ANSWERS", "DROPPED", "GENERAL", "INSTRUCTIONS", "KINDS", "SynthesizeSettings", "estimated", "read_instructions", "synthesize"]

ROWS, DROPPED, STATS, ANSWERS = "rows.jsonl", "dropped.jsonl", "stats.json", "answers.jsonl"
GENERAL = ROWS  # whichever the method: what ``dataset`` takes as ``instructions``


def synthesize(characters: Path, into: Path, settings: SynthesizeSettings) -> Path:
    """Ask the teacher, filter, and write ``rows.jsonl`` with a report and a sheet of samples. Returns ``into``.

    Stopped at any row, the same call goes on after it.

    Raises:
        SourceRefused: no teacher, no such method, nobody to speak, or a list that is none.
        EngineError: the teacher cannot be had or fails; what it answered is kept.
    """
    method = method_of(settings.method)
    whole, chosen = _cast(characters, settings)
    instructions = settings.instructions or INSTRUCTIONS
    inputs: dict[str, Path | str] = {c.slug: _texts(characters / c.slug) for c in chosen}
    inputs |= {name: path for name in ("human", "prototype") if (path := getattr(settings, name)) is not None}
    asked = {name: value for name, value in settings.asked().items() if name not in ("instructions", "human", "prototype")}
    asked["prompts_version"] = PROMPTS_VERSION
    read_instructions(instructions)  # a list that is none is told of before anything is written
    stage = begin(into, "synthesize", inputs={**inputs, "instructions": instructions}, settings=asked, seed=settings.seed)
    if stage.finished:
        return into
    told = asyncio.run(_carry_out(method, characters, whole, chosen, into, settings, stage.keep_time))
    write_json(into / STATS, told)
    return stage.finish(told)


def estimated(characters: Path, settings: SynthesizeSettings) -> str:
    """What it would cost, without asking anything. Raises as :func:`synthesize`."""
    method = method_of(settings.method)
    whole, chosen = _cast(characters, settings)

    async def measure() -> str:
        async with open_teacher(settings) as teacher:
            room = _room(characters, whole, chosen, settings, teacher)
            return estimate(method, room, method.questions(room, 0, {})).told()

    return asyncio.run(measure())


async def _carry_out(
    method: Method,
    characters: Path,
    whole: Sequence[Character],
    chosen: Sequence[Character],
    into: Path,
    settings: SynthesizeSettings,
    keep_time: Callable[[], None],
) -> dict[str, Any]:
    journal = Journal(into / ANSWERS)
    console = Console(stderr=True)
    async with open_teacher(settings) as teacher:
        room = _room(characters, whole, chosen, settings, teacher)
        asked = 0
        for phase in range(method.phases):
            questions = method.questions(room, phase, journal.done)
            asked += len(questions)
            missing = [q for q in questions if q.key not in journal.done]
            name = f"{method.name} {phase + 1}/{method.phases}" if method.phases > 1 else method.name
            if missing and not phase:
                console.print(f"{name}: {estimate(method, room, missing).told()}", highlight=False)
            await ask_all(questions, journal, teacher, settings, Told(len(questions), name, console), keep_time)
        cast = method.cast(room, journal.done)
        drafts = method.drafts(room, journal.done)
        kept, dropped = sift(method.name, drafts, cast, room, journal.done, prompt_version=PROMPT_VERSION)
        for file, rows in ((ROWS, kept), (DROPPED, dropped)):
            (into / file).write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
        told = figures(kept, dropped, asked=asked, teacher=teacher.name) | dict(method.write(room, journal.done, kept, into))
    write_report(into, method.name, told)
    write_sheet(into, kept, dropped, settings.seed)
    return told


def _room(
    characters: Path, whole: Sequence[Character], chosen: Sequence[Character], settings: SynthesizeSettings, teacher: Teacher
) -> Room:
    limits = CharacterSettings()
    try:
        held_out = {c.slug: read_lines(characters / c.slug / HELD_OUT_FILE, limits) for c in whole}
    except CardError as error:
        raise SourceRefused(str(error)) from error
    return Room(
        cast=whole,
        chosen=chosen,
        held_out=held_out,
        instructions=read_instructions(settings.instructions or INSTRUCTIONS),
        settings=settings,
        tokenizer=teacher.engine.tokenizer,
        renderer=PromptRenderer(teacher.engine.tokenizer),
        template=teacher.template,
        context_tokens=teacher.engine.context_tokens,
    )


def _cast(characters: Path, settings: SynthesizeSettings) -> tuple[list[Character], list[Character]]:
    """Everybody, and those who were asked for."""
    house = {c.slug: c for c in Cast.load(characters, CharacterSettings()).house}
    unknown = [slug for slug in settings.only if slug not in house]
    if unknown or not house:
        raise SourceRefused(
            f"{characters}: there is no character{f' {unknown[0]!r:.60}' if unknown else ''}; there are {', '.join(house) or 'none'}"
        )
    return list(house.values()), [c for slug, c in house.items() if not settings.only or slug in settings.only]


def _texts(folder: Path) -> str:
    return " ".join(fingerprint(p) for p in (folder / CARD_FILE, folder / LINES_FILE) if p.is_file())


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    told = "; ".join(f"{name}: {method.about}" for name, method in METHODS.items())
    parser.add_argument("method", nargs="+", choices=METHODS, metavar="METHOD", help=told.replace("%", "%%"))
    add_run(parser)
    parser.add_argument("--characters", type=Path, metavar="FOLDER", help="default: what profile made in this run, else characters")
    parser.add_argument("--estimate", action="store_true", help="say what it would cost, and ask nothing")
    add_settings(parser, SynthesizeSettings, without=("method",))


def command(args: Namespace) -> None:
    given = settings_from(args, SynthesizeSettings)
    with working_in(run_folder(args.runs, args.run)) as run:
        profiled = run / "profile" / "characters"
        characters = args.characters or (profiled if profiled.is_dir() else Path("characters"))
        for method in args.method:
            settings = given.model_copy(update={"method": method})
            if args.estimate:
                print(f"{method}: {estimated(characters, settings)}")
                continue
            folder = synthesize(characters, run / folder_of(method), settings)
            show(folder, Console())


def folder_of(method: str) -> str:
    """Where a method's rows are within a run."""
    return f"synthesize-{method}"


def show(folder: Path, console: Console) -> None:
    told: Mapping[str, Any] = json.loads((folder / STATS).read_text(encoding="utf-8"))
    table = Table(title=f"{folder.name}: {told['kept']} of {told['rows']} rows are kept", show_header=False)
    for reason, count in told["dropped"].items():
        table.add_row(f"dropped: {reason}", str(count))
    for slug, count in told["kept_by_character"].items():
        table.add_row(slug, str(count))
    console.print(table)
