"""Stage ``synthesize``: what no source says. ``general`` has everyday instructions answered in role by a teacher.

A teacher is asked with the very prompt that the bot would serve, the card and the exemplars in it, so that it answers as the
character would. Each instruction goes to several characters: then who answers, and not the subject, explains the difference.
Every row says how it came to be; every dropped one says why.
"""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bot.characters.cast import CARD_FILE, Cast, Character
from bot.characters.lines import LINES_FILE
from bot.characters.prompt import PROMPT_VERSION, Budget, PromptRenderer, Scene, Spoken
from bot.config import CharacterSettings
from bot.messages import Sampling
from bot.retrieval.exemplars import ExemplarIndex
from trainer.conversations import VISITOR
from trainer.duplicates import NearDuplicates
from trainer.errors import SourceRefused
from trainer.filters import Filter, Limits
from trainer.journal import Journal
from trainer.manifest import begin, fingerprint, write_json
from trainer.options import add_run, add_settings, settings_from
from trainer.runs import run_folder, working_in
from trainer.teacher import Teacher, TeacherSettings, open_teacher

INSTRUCTIONS = Path(__file__).with_name("general_instructions.jsonl")
GENERAL, DROPPED, STATS, ANSWERS = "general.jsonl", "dropped.jsonl", "stats.json", "answers.jsonl"
METHODS = ("general",)
KINDS = ("open", "commonsense", "knowledge")
RETRIEVED = 3  # exemplars that fit the instruction, beside the card's fixed ones


class SynthesizeSettings(TeacherSettings):
    """Who answers what, and what is kept."""

    instructions: Path | None = None  # JSONL {id, kind, language, instruction}; empty: our own list
    seed: int = 1
    only: tuple[str, ...] = ()  # slugs; empty: everybody
    answers: int = Field(3, ge=1)  # characters that answer each instruction
    limit: int = Field(0, ge=0)  # instructions of each language; 0: all
    reply_tokens: int = Field(160, ge=16)
    temperature: float = Field(0.8, ge=0, le=2)
    least_words: int = Field(3, ge=1)
    most_words: int = Field(120, ge=1)


@dataclass(frozen=True, slots=True)
class Instruction:
    id: str
    kind: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """One instruction for one character."""

    instruction: Instruction
    character: Character

    @property
    def key(self) -> str:
        return f"{self.instruction.id}/{self.character.slug}"

    def seed(self, of_run: int) -> int:
        return zlib.crc32(f"{of_run}/{self.key}".encode())


def synthesize(characters: Path, into: Path, settings: SynthesizeSettings) -> Path:
    """Ask the teacher, filter, and write ``general.jsonl``, which ``dataset`` takes as ``instructions``. Returns ``into``.

    Stopped at any row, the same call goes on after it.

    Raises:
        SourceRefused: no teacher, nobody to answer, or a list that is none.
        EngineError: the teacher cannot be had or fails; what it answered is kept.
    """
    instructions = settings.instructions or INSTRUCTIONS
    questions = deal(read_instructions(instructions), _cast(characters, settings), settings)
    inputs: dict[str, Path | str] = {q.character.slug: _texts(characters / q.character.slug) for q in questions}
    asked = settings.model_dump(mode="json", exclude={"seed", "models", "concurrent", "teacher_key_env", "instructions"})
    stage = begin(into, "synthesize", inputs={**inputs, "instructions": instructions}, settings=asked, seed=settings.seed)
    if stage.finished:
        return into
    teacher, answers = asyncio.run(_ask(questions, into / ANSWERS, settings, stage.keep_time))
    kept, dropped = sift(questions, answers, teacher, settings)
    for name, rows in ((GENERAL, kept), (DROPPED, dropped)):
        (into / name).write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    figures = {
        "asked": len(questions),
        "kept": len(kept),
        "dropped": dict(Counter(r["dropped"] for r in dropped).most_common()),
        "kept_by_character": dict(sorted(Counter(r["character"] for r in kept).items())),
        "kept_by_kind": dict(sorted(Counter(r["kind"] for r in kept).items())),
        "teacher": teacher,
    }
    write_json(into / STATS, figures)
    return stage.finish(figures)


def read_instructions(path: Path) -> list[Instruction]:
    """A list of instructions. Raises ``SourceRefused`` with file and line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceRefused(f"{path.name}: cannot be read as UTF-8 text ({error}); check the path") from error
    found: dict[str, Instruction] = {}
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            one = Instruction(str(row["id"]), str(row["kind"]), str(row["language"]), str(row["instruction"]).strip())
        except (ValueError, KeyError, TypeError) as error:
            raise SourceRefused(f'{path.name}:{place}: is no {{"id", "kind", "language", "instruction"}} object ({error})') from error
        if one.kind not in KINDS or not one.text or one.id in found:
            raise SourceRefused(f"{path.name}:{place}: needs an id of its own, a text, and a kind of {', '.join(KINDS)}")
        found[one.id] = one
    if not found:
        raise SourceRefused(f"{path.name}: holds no instruction")
    return list(found.values())


def _cast(characters: Path, settings: SynthesizeSettings) -> list[Character]:
    whole = Cast.load(characters, CharacterSettings())
    house = {c.slug: c for c in whole.house}
    unknown = [slug for slug in settings.only if slug not in house]
    if unknown or not house:
        raise SourceRefused(
            f"{characters}: there is no character{f' {unknown[0]!r:.60}' if unknown else ''}; there are {', '.join(house) or 'none'}"
        )
    return [c for slug, c in house.items() if not settings.only or slug in settings.only]


def _texts(folder: Path) -> str:
    return " ".join(fingerprint(p) for p in (folder / CARD_FILE, folder / LINES_FILE) if p.is_file())


def deal(instructions: Sequence[Instruction], cast: Sequence[Character], settings: SynthesizeSettings) -> list[Question]:
    """Who answers what: each instruction goes to several characters of its language, everybody gets as many as the others."""
    questions: list[Question] = []
    for language in sorted({i.language for i in instructions}):
        speakers = [c for c in cast if (c.settings.languages[:1] or ("en",)) == (language,)]
        chosen = [i for i in instructions if i.language == language]
        random.Random(f"{settings.seed}/{language}").shuffle(chosen)
        chosen = chosen[: settings.limit or None]
        each = min(settings.answers, len(speakers))
        questions += [
            Question(instruction, speakers[(n * each + k) % len(speakers)]) for n, instruction in enumerate(chosen) for k in range(each)
        ]
    if not questions:
        raise SourceRefused("no character speaks a language that the instructions are written in; check their cards' languages")
    return questions


# ------------------------------------------------------------------ asking


async def _ask(
    questions: Sequence[Question], path: Path, settings: SynthesizeSettings, keep_time: Callable[[], None]
) -> tuple[str, dict[str, dict[str, Any]]]:
    journal = Journal(path)
    places = asyncio.Semaphore(settings.concurrent)
    async with open_teacher(settings) as teacher:
        renderer = PromptRenderer(teacher.engine.tokenizer)
        indexes = {q.character.slug: ExemplarIndex(q.character.lines) for q in {q.character.slug: q for q in questions}.values()}
        with Progress(transient=True, console=Console(stderr=True)) as progress:
            task = progress.add_task("asking the teacher", total=len(questions))

            async def one(question: Question) -> None:
                if question.key not in journal.done:
                    async with places:
                        index = indexes[question.character.slug]
                        journal.add(question.key, await _answer(teacher, renderer, index, question, settings))
                progress.advance(task)

            try:
                async with asyncio.TaskGroup() as group:
                    for question in questions:
                        group.create_task(one(question))
            except* Exception as errors:
                keep_time()
                raise errors.exceptions[0] from errors
        return teacher.name, journal.done


async def _answer(
    teacher: Teacher, renderer: PromptRenderer, index: ExemplarIndex, question: Question, settings: SynthesizeSettings
) -> dict[str, Any]:
    character = question.character
    fixed = renderer.fixed_ids(character)
    hits = index.search(question.instruction.text, RETRIEVED, without=fixed)
    scene = Scene(spoken=[Spoken(VISITOR, question.instruction.text)], exemplars=[character.lines[h.position] for h in hits])
    budget = Budget(context=teacher.engine.context_tokens, reply=settings.reply_tokens)
    rendered = renderer.render(character, scene, budget)
    seed = question.seed(settings.seed)
    sampling = Sampling(temperature=settings.temperature, max_tokens=settings.reply_tokens, seed=seed)
    answer = await teacher.answer(rendered.prompt, sampling, question.key)
    return {"reply": answer.text, "finished": answer.finished, "seed": seed, "source_ids": [*sorted(fixed), *rendered.exemplars]}


# ------------------------------------------------------------------ sifting


def sift(
    questions: Sequence[Question], answers: Mapping[str, Mapping[str, Any]], teacher: str, settings: SynthesizeSettings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows that are kept, and rows that are not with the reason. In the order of the questions, whichever was answered first."""
    cast = {q.character.slug: q.character for q in questions}
    limits = Limits(settings.least_words, settings.most_words)
    everybody = {n for c in cast.values() for n in (c.name, c.card.char)}
    filters = {
        slug: Filter(
            {c.name, c.card.char},
            everybody | {e.with_name for e in c.lines if e.with_name},
            [e.reply for e in c.lines],
            chinese=c.settings.languages[:1] == ("zh",),
            limits=limits,
        )
        for slug, c in cast.items()
    }
    said = {slug: NearDuplicates() for slug in cast}
    kept: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    for question in questions:
        answer, slug = answers[question.key], question.character.slug
        reply = filters[slug].tidy(answer["reply"])
        reason = filters[slug].reason(question.instruction.text, reply, finished=answer["finished"])
        if reason is None and said[slug].like(reply) is not None:
            reason = "near-duplicate"
        row = {
            "id": f"general-{question.key}",
            "instruction": question.instruction.text,
            "character": slug,
            "reply": reply,
            "kind": question.instruction.kind,
            "language": question.instruction.language,
            "method": "general",
            "teacher": teacher,
            "prompt_version": PROMPT_VERSION,
            "seed": answer["seed"],
            "source_ids": [question.instruction.id, *answer["source_ids"]],
        }
        if reason is None:
            said[slug].add(reply)
            kept.append(row)
        else:
            dropped.append({**row, "dropped": reason})
    return kept, dropped


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("method", choices=METHODS, help="general: everyday instructions answered in role")
    add_run(parser)
    parser.add_argument("--characters", type=Path, metavar="FOLDER", help="default: what profile made in this run, else characters")
    add_settings(parser, SynthesizeSettings)


def command(args: Namespace) -> None:
    settings = settings_from(args, SynthesizeSettings)
    with working_in(run_folder(args.runs, args.run)) as run:
        profiled = run / "profile" / "characters"
        folder = synthesize(args.characters or (profiled if profiled.is_dir() else Path("characters")), run / "synthesize", settings)
    show(folder, Console())


def show(folder: Path, console: Console) -> None:
    figures = json.loads((folder / STATS).read_text(encoding="utf-8"))
    table = Table(title=f"{figures['kept']} of {figures['asked']} answers are kept", show_header=False)
    for reason, count in figures["dropped"].items():
        table.add_row(f"dropped: {reason}", str(count))
    for slug, count in figures["kept_by_character"].items():
        table.add_row(slug, str(count))
    console.print(table)
