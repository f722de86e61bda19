"""Stage ``profile``: characters' lines -> who they are, as figures, statements that point to lines, and a card.

Without a teacher a profile holds what counting gives, and says of everything else that a teacher is needed. Held-out lines
are carried along and never read.
"""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bot.characters.card import Card, with_fields
from bot.characters.cast import CARD_FILE, Cast, Character
from bot.characters.lines import LINES_FILE, Exemplar, read_lines
from bot.characters.troupe_settings import ITEM_CHARACTERS, PROFILE_CHARACTERS
from bot.config import CharacterSettings
from bot.engine.models import STARTER
from bot.engine.native import Model
from bot.engine.tokenizer import LlamaTokenizer
from bot.errors import CardError
from bot.messages import Sampling, Tokenizer
from trainer.asking import (
    ASKING_VERSION,
    GROUPS,
    AnswerMisshapen,
    Statement,
    emotion_question,
    group_question,
    read_emotion,
    read_statements,
    repair,
)
from trainer.base import Base, find_base, load_tokenizer
from trainer.counting import as_records, catchphrases, never_mentioned, relations, style, typical_lines
from trainer.errors import SourceRefused
from trainer.extract.exchanges import HELD_OUT_FILE, write_character
from trainer.journal import Journal
from trainer.manifest import begin, fingerprint, write_json
from trainer.options import add_run, add_settings, settings_from
from trainer.runs import run_folder, working_in
from trainer.teacher import Teacher, TeacherSettings, open_teacher

PROFILE, ANSWERS, CHARACTERS = "profile.json", "answers.jsonl", "characters"
CARD_TOKENS = 150  # of a description: the model is trained on short cards, and every token of it stands in every prompt
ANSWER_TOKENS = 320
QUESTION_TOKENS = 700  # everything of a question but the lines, with room for a repair
NEEDS_TEACHER = "needs a teacher"


class ProfileSettings(TeacherSettings):
    """Who is asked, and what for."""

    base: str = STARTER  # whose tokenizer counts the card's tokens
    seed: int = 1
    only: tuple[str, ...] = ()  # slugs; empty: everybody in the folder
    emotions: bool = True  # ask for every line's feeling; only with a teacher
    evidence: int = Field(80, ge=4)  # lines that one question shows, at most
    card_tokens: int = Field(CARD_TOKENS, ge=40)
    keep_description: bool = False  # leave the card's own description as it is


def profile(characters: Path, into: Path, settings: ProfileSettings) -> Path:
    """Write ``characters/<slug>/`` with profile, card and lines. Returns ``into``. Stopped at any answer, it goes on after it.

    Raises:
        SourceRefused: nobody is there, or has no lines.
        EngineError: the teacher cannot be had or fails; what it answered before is kept.
    """
    whole = _cast(characters, settings)
    inputs: dict[str, Path | str] = {c.slug: _texts(characters / c.slug) for c in whole}
    asked = settings.asked()
    stage = begin(into, "profile", inputs=inputs, settings=asked, seed=settings.seed)
    if stage.finished:
        return into
    answers: Mapping[str, Mapping[str, Any]] = {}
    teacher = ""
    if settings.teacher:
        teacher, answers = asyncio.run(_ask_everything(whole, into / ANSWERS, settings, stage.keep_time))
    tokenizer = _tokenizer(find_base(settings.base))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, special=False))

    texts = [t for c in whole for e in c.lines for t in (e.said, e.reply)]
    silent = never_mentioned(texts)
    figures: dict[str, Any] = {}
    emotions: Counter[str] = Counter()
    for character in whole:
        others = [e.reply for c in whole if c.slug != character.slug for e in c.lines]
        # What is said to a character is others' speech too: a character alone still has somebody to be compared with.
        others += [e.said for e in character.lines if e.with_name not in {c.name for c in whole}]
        document, lines = _document(character, others, silent, answers, teacher, settings)
        card = _card(character, document, settings, count)
        home = into / CHARACTERS / character.slug
        write_character(home, card, lines, read_lines(characters / character.slug / HELD_OUT_FILE, CharacterSettings()))
        write_json(home / PROFILE, document)
        emotions.update(e.emotion for e in lines if e.emotion)
        figures[character.slug] = {
            "lines": len(lines),
            "catchphrases": len(document["catchphrases"]),
            "statements": sum(len(a["statements"]) for a in document["attributes"].values()),
            "groups_refused": sum(a["state"].startswith("refused") for a in document["attributes"].values()),
            "card_tokens": count(card.description),
        }
    return stage.finish(
        {
            "made_by": teacher or "counting",
            "asking_version": ASKING_VERSION,
            "emotions": dict(emotions.most_common()),
            "characters": figures,
        }
    )


def _cast(characters: Path, settings: ProfileSettings) -> list[Character]:
    whole = Cast.load(characters, CharacterSettings())
    if whole.problems:
        raise SourceRefused(whole.problems[0])
    house = {c.slug: c for c in whole.house}
    unknown = [slug for slug in settings.only if slug not in house]
    if unknown or not house:
        raise SourceRefused(
            f"{characters}: there is no character{f' {unknown[0]!r:.60}' if unknown else ''}; there are {', '.join(house) or 'none'}"
        )
    found = [c for slug, c in house.items() if not settings.only or slug in settings.only]
    silent = next((c for c in found if not c.lines), None)
    if silent is not None:
        raise SourceRefused(f"{silent.slug} has no lines to learn from; write {LINES_FILE}, or run extract")
    return found


def _texts(folder: Path) -> str:
    return " ".join(fingerprint(p) for p in (folder / CARD_FILE, folder / LINES_FILE) if p.is_file())


def _tokenizer(base: Base) -> Tokenizer:
    """The base's tokenizer; llama.cpp reads a GGUF's in a tenth of the time that transformers takes, and they agree."""
    return LlamaTokenizer(Model(base.file, vocabulary_only=True)) if base.file else load_tokenizer(base)


# ------------------------------------------------------------------ what is written


def _document(
    character: Character,
    others: Sequence[str],
    silent: Sequence[str],
    answers: Mapping[str, Mapping[str, Any]],
    teacher: str,
    settings: ProfileSettings,
) -> tuple[dict[str, Any], list[Exemplar]]:
    """The profile, and the lines with their emotions."""
    name, lines = character.name, character.lines
    attributes: dict[str, dict[str, Any]] = {}
    for group in GROUPS:
        attributes[group] = dict(answers.get(f"{character.slug}/{group}", {"state": NEEDS_TEACHER, "statements": []}))
        attributes[group].pop("key", None)
    labelled = [answers.get(f"{character.slug}/emotion/{e.id}") for e in lines]
    felt = [replace(e, emotion=a["emotion"]) if a else e for e, a in zip(lines, labelled, strict=True)]
    document = {
        "character": character.slug,
        "name": name,
        "made_by": teacher or "counting",
        "told": (
            "Counted from the lines, and told by a teacher; every statement names the lines that it rests on."
            if teacher
            else "Counted from the lines alone. Who this is, likes or believes cannot be counted: name a teacher for it."
        ),
        "asking_version": ASKING_VERSION if teacher else None,
        "seed": settings.seed,
        "style": style(lines),
        "catchphrases": as_records(catchphrases(lines, others)),
        "relations": relations(lines, _names(lines))[:12],
        "typical_lines": typical_lines(lines, others),
        "never_mentioned": {
            "topics": list(silent),
            "told": "Nobody in the whole text has a word for these; whether somebody would know them cannot be counted.",
        },
        "attributes": attributes,
        "emotions": {
            "distribution": dict(Counter(a["emotion"] for a in labelled if a).most_common()),
            "repaired": sum(a["tries"] == 2 for a in labelled if a),
            "neutral_for_want_of_an_answer": sum(not a["answered"] for a in labelled if a),
        }
        if any(labelled)
        else NEEDS_TEACHER,
    }
    return document, felt


def _names(lines: Sequence[Exemplar]) -> list[str]:
    return sorted({e.with_name for e in lines if e.with_name})


def _card(character: Character, document: Mapping[str, Any], settings: ProfileSettings, count: Callable[[str], int]) -> Card:
    """A V3 card: what tells most about the character first, as many sentences as the tokens allow."""
    card = character.card
    chinese = card.settings.languages[:1] == ("zh",)
    told = [s["text"] for group in GROUPS for s in document["attributes"][group]["statements"][:2]]
    sentences = [*_first(told, count, settings.card_tokens // 2), *_counted(document, chinese)]
    opening = card.description.strip()
    description = card.description
    if not settings.keep_description:
        description = opening if count(opening) <= settings.card_tokens // 2 else ""
        for sentence in sentences:
            sentence = sentence if sentence.endswith((".", "。", "!", "?", "”")) else f"{sentence}."
            longer = f"{description}{'' if chinese or not description else ' '}{sentence.replace(card.name, '{{char}}')}"
            if count(longer) <= settings.card_tokens:
                description = longer
    extensions = dict(card.document().get("data", {}).get("extensions") or {})
    own = dict(extensions.get("troupe") or {})
    own["profile"] = {
        **(own.get("profile") or {}),
        **{
            group: " ".join(s["text"] for s in a["statements"])[:PROFILE_CHARACTERS]
            for group, a in document["attributes"].items()
            if a["statements"]
        },
    }
    own["catchphrases"] = own.get("catchphrases") or [p["text"][:ITEM_CHARACTERS] for p in document["catchphrases"][:6]]
    own["cannot_know"] = own.get("cannot_know") or list(document["never_mentioned"]["topics"])
    try:
        return with_fields(card, CharacterSettings(), description=description, extensions={**extensions, "troupe": own})
    except CardError as error:
        raise SourceRefused(str(error)) from error


def _first(told: Sequence[str], count: Callable[[str], int], room: int) -> list[str]:
    kept: list[str] = []
    for sentence in told:
        if count(" ".join([*kept, sentence])) > room:
            break
        kept.append(sentence)
    return kept


def _counted(document: Mapping[str, Any], chinese: bool) -> list[str]:
    """Sentences for a card out of figures, so that a model can follow them: a manner, not numbers."""
    figures, phrases = document["style"], [p["text"] for p in document["catchphrases"][:4]]
    typical = [t["line"] for t in document["typical_lines"][:2]]
    middle = round(figures["words_per_line"]["median"])
    habits = [
        words[chinese]
        for key, least, words in (
            ("questions_per_100_sentences", 25, ("asks often", "常反问")),
            ("exclamations_per_100_sentences", 25, ("exclaims", "爱感叹")),
            ("dashes_per_100_sentences", 10, ("breaks off and starts again", "常说半句又起头")),
            ("ellipses_per_100_sentences", 10, ("trails off", "话常没说完")),
        )
        if figures[key] >= least
    ]
    if chinese:
        found = [f"{document['name']}每次大约说{middle}个字" + (f"，{'，'.join(habits)}" if habits else "") + "。"]
        found += [f"常说：{'、'.join(f'“{p}”' for p in phrases)}。"] if phrases else []
        return found + [f"例如：“{t}”" for t in typical]
    found = [f"{document['name']} says about {middle} words at a time" + (f" and {', '.join(habits)}" if habits else "") + "."]
    found += [f"Often: {', '.join(f'“{p}”' for p in phrases)}."] if phrases else []
    return found + [f"For example: “{t}”" for t in typical]


# ------------------------------------------------------------------ asking


async def _ask_everything(
    whole: Sequence[Character], path: Path, settings: ProfileSettings, keep_time: Callable[[], None]
) -> tuple[str, dict[str, dict[str, Any]]]:
    """Every group of every character and the feeling of every line; what was answered before is not asked again."""
    journal = Journal(path)
    places = asyncio.Semaphore(settings.concurrent)
    async with open_teacher(settings) as teacher:

        async def group_of(character: Character, group: str) -> None:
            key = f"{character.slug}/{group}"
            if key not in journal.done:
                async with places:
                    journal.add(key, await _ask_group(teacher, character, group, settings))

        async def emotion_of(character: Character, line: Exemplar) -> None:
            key = f"{character.slug}/emotion/{line.id}"
            if key not in journal.done:
                async with places:
                    journal.add(key, await _ask_emotion(teacher, character.name, line, settings.seed))

        questions = [group_of(c, g) for c in whole for g in GROUPS]
        if settings.emotions:
            questions += [emotion_of(c, e) for c in whole for e in c.lines]
        with Progress(transient=True, console=Console(stderr=True)) as progress:
            task = progress.add_task("asking the teacher", total=len(questions))
            try:
                async with asyncio.TaskGroup() as group:
                    for question in questions:
                        group.create_task(_then(question, lambda: progress.advance(task)))
            except* Exception as errors:
                keep_time()
                raise errors.exceptions[0] from errors
        return teacher.name, journal.done


async def _then(question: Any, done: Callable[[], None]) -> None:
    await question
    done()


async def _ask_group(teacher: Teacher, character: Character, group: str, settings: ProfileSettings) -> dict[str, Any]:
    """One group's statements; one repair, then it stays empty and says why."""
    shown = _evidence(teacher, character, group, settings)
    messages = group_question(character.name, group, shown)
    wrong = ""
    for attempt in (1, 2):
        sampling = Sampling(temperature=0.3, max_tokens=ANSWER_TOKENS, seed=_seed(settings.seed, character.slug, group, attempt))
        answer = await teacher.ask(messages, sampling, f"{character.slug}/{group}")
        try:
            statements = read_statements(answer.text, shown)
        except AnswerMisshapen as error:
            wrong = str(error)
            messages = repair(messages, answer.text[:800], wrong)
            continue
        return _told(statements, attempt, len(shown))
    return {"state": f"refused after one repair: {wrong}", "statements": [], "tries": 2, "lines_shown": len(shown)}


def _told(statements: Sequence[Statement], tries: int, shown: int) -> dict[str, Any]:
    rows = [{"text": s.text, "ids": list(s.ids)} for s in statements]
    return {"state": "told" if rows else "the lines show nothing of it", "statements": rows, "tries": tries, "lines_shown": shown}


def _evidence(teacher: Teacher, character: Character, group: str, settings: ProfileSettings) -> list[Exemplar]:
    """Lines for one question: as many as fit, others for every group, in the order of the text."""
    room = teacher.engine.context_tokens - 2 * ANSWER_TOKENS - QUESTION_TOKENS
    draw = random.Random(f"{settings.seed}/{character.slug}/{group}")
    order = list(range(len(character.lines)))
    draw.shuffle(order)
    chosen: list[int] = []
    for i in order[: settings.evidence]:
        line = character.lines[i]
        room -= teacher.count(f"[00] to {line.with_name or 'somebody'}: {line.reply}\n") + 2
        if room < 0 and chosen:
            break
        chosen.append(i)
    return [character.lines[i] for i in sorted(chosen)]


async def _ask_emotion(teacher: Teacher, name: str, line: Exemplar, seed: int) -> dict[str, Any]:
    """One label; asked once more if it is none, then neutral."""
    messages = emotion_question(name, line)
    for attempt in (1, 2):
        answer = await teacher.ask(messages, Sampling(temperature=0.0, max_tokens=12, seed=_seed(seed, line.id, attempt)), line.id)
        try:
            return {"emotion": read_emotion(answer.text), "answered": True, "tries": attempt}
        except AnswerMisshapen as error:
            messages = repair(messages, answer.text[:200], str(error))
    return {"emotion": "neutral", "answered": False, "tries": 2}


def _seed(*parts: object) -> int:
    return zlib.crc32("/".join(map(str, parts)).encode())


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--characters", type=Path, metavar="FOLDER", help="default: what extract made in this run, else characters")
    add_settings(parser, ProfileSettings)


def command(args: Namespace) -> None:
    settings = settings_from(args, ProfileSettings)
    with working_in(run_folder(args.runs, args.run)) as run:
        extracted = run / "extract" / CHARACTERS
        folder = profile(args.characters or (extracted if extracted.is_dir() else Path("characters")), run / "profile", settings)
    show(folder, Console())


def show(folder: Path, console: Console) -> None:
    for path in sorted((folder / CHARACTERS).glob(f"*/{PROFILE}")):
        told = json.loads(path.read_text(encoding="utf-8"))
        table = Table(title=f"{told['name']} ({told['made_by']})", show_header=False)
        figures = told["style"]
        table.add_row("lines", f"{figures['lines']}, median {figures['words_per_line']['median']} {figures['unit']}")
        table.add_row("catchphrases", ", ".join(f"{p['text']} ({p['lines']})" for p in told["catchphrases"][:6]) or "none")
        table.add_row("talks with", ", ".join(f"{r['name']} {r['answered']}" for r in told["relations"][:5]))
        table.add_row("statements", str(sum(len(a["statements"]) for a in told["attributes"].values())))
        if isinstance(told["emotions"], dict):
            table.add_row("emotions", ", ".join(f"{k} {v}" for k, v in told["emotions"]["distribution"].items()))
        console.print(table)
