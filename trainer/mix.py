"""Stage ``mix``: characters' own lines and synthesised rows -> one folder of characters and one list of rows to learn from.

Three presets after ChatHaruhi's three models: A is the original dialogue, B adds what was synthesised, C has the character's own
utterances alone, with nothing of what others said before them. What is held out stays what it was.
"""

from __future__ import annotations

import json
import random
import shutil
from argparse import ArgumentParser, Namespace
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from rich.console import Console

from bot.characters.card import with_fields
from bot.characters.cast import Cast, Character
from bot.characters.lines import Exemplar, read_lines
from bot.config import CharacterSettings, Section
from bot.errors import CardError
from trainer.errors import SourceRefused
from trainer.extract.exchanges import HELD_OUT_FILE, write_character
from trainer.instructions import KINDS
from trainer.manifest import begin, write_json
from trainer.options import add_run, add_settings, settings_from
from trainer.runs import run_folder, working_in
from trainer.synthesis.people import PEOPLE
from trainer.synthesis.sources import RETOLD
from trainer.synthesize import ROWS, folder_of

MIXED, CHARACTERS, STATS = "rows.jsonl", "characters", "stats.json"
GENERAL_KINDS = frozenset({"general", *KINDS})  # rows about no character in particular
CUES = {
    "en": ("Go on.", "Say something.", "Yes?", "What is on your mind?", "I am listening."),
    "zh": ("说下去。", "说点什么吧。", "嗯？", "你在想什么？", "我听着呢。"),
}


class MixSettings(Section):
    """What is taken, and in which proportion."""

    preset: Literal["A", "B", "C"] = "B"
    methods: tuple[str, ...] = ()  # of a run that was synthesised; empty: all that are there
    synthetic_share: float = Field(0.5, ge=0, lt=1)  # of a character's rows that may be synthesised: at least half stays its own
    general_share: float = Field(0.5, ge=0, le=1)  # of its synthesised rows that may be everyday instructions
    people: bool = True  # new people that were made stand beside the characters
    retold: bool = False  # a character stands once more under each retold card
    seed: int = 1


def mix(characters: Path, synthesized: Sequence[Path], into: Path, settings: MixSettings) -> Path:
    """Write ``characters/`` and ``rows.jsonl`` (``dataset`` takes them as ``characters`` and ``instructions``). Returns ``into``.

    Raises:
        SourceRefused: nobody is there, or a file of rows is none.
    """
    folders = list(synthesized) if settings.preset == "B" else []
    # By content, each under a name of its own: a run may be moved.
    inputs: dict[str, Path | str] = {"characters": characters, **{f"{i}-{folder.name}": folder for i, folder in enumerate(folders)}}
    asked = settings.model_dump(mode="json", exclude={"seed"})
    stage = begin(into, "mix", inputs=inputs, settings=asked, seed=settings.seed)
    if stage.finished:
        return into
    cast = Cast.load(characters, CharacterSettings())
    if cast.problems or not cast.house:
        raise SourceRefused(cast.problems[0] if cast.problems else f"{characters}: holds no character")
    shutil.rmtree(into / CHARACTERS, ignore_errors=True)
    figures: dict[str, Any] = {"preset": settings.preset, "own": 0, "people": 0, "retold": 0}
    retold = _retold(folders) if settings.retold else {}
    for c in cast.house:
        lines = _alone(c, settings) if settings.preset == "C" else c.lines
        figures["own"] += len(lines)
        held_out = _held_out(characters / c.slug)
        write_character(into / CHARACTERS / c.slug, c.card, lines, held_out)
        for way, text in retold.get(c.slug, {}).items():
            _write_retold(into / CHARACTERS / f"{c.slug}-{way}", c, text, held_out)
            figures["retold"] += 1
    for home in sorted(p for folder in folders for p in (folder / PEOPLE).glob("*") if settings.people and p.is_dir()):
        shutil.copytree(home, into / CHARACTERS / home.name)
        figures["people"] += 1
    rows = _chosen(cast.house, folders, settings)
    (into / MIXED).write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    figures |= {"synthesised": len(rows), "by_method": dict(Counter(str(r["method"]) for r in rows))}
    write_json(into / STATS, figures)
    return stage.finish(figures)


def _alone(c: Character, settings: MixSettings) -> tuple[Exemplar, ...]:
    """The character's utterances, each after a cue that says nothing."""
    cues = CUES["zh" if c.settings.languages[:1] == ("zh",) else "en"]
    draw = random.Random(f"{settings.seed}/{c.slug}/cues")
    return tuple(replace(line, said=draw.choice(cues), with_name=None) for line in c.lines)


def _held_out(folder: Path) -> tuple[Exemplar, ...]:
    try:
        return read_lines(folder / HELD_OUT_FILE, CharacterSettings())
    except CardError as error:
        raise SourceRefused(str(error)) from error


def _retold(folders: Sequence[Path]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for folder in folders:
        for row in _rows(folder / RETOLD):
            found[str(row["character"])][str(row["way"])] = str(row["text"])
    return found


def _write_retold(home: Path, c: Character, text: str, held_out: Sequence[Exemplar]) -> None:
    card = with_fields(c.card, CharacterSettings(), description=text)
    write_character(home, card, [replace(line, id=f"{home.name}-{line.id}") for line in c.lines], held_out)


def _chosen(cast: Sequence[Character], folders: Sequence[Path], settings: MixSettings) -> list[Mapping[str, Any]]:
    """As many rows of each character as the shares allow, drawn by chance. People's rows stand with their cards already."""
    by_character: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for folder in folders:
        for row in _rows(folder / ROWS):
            by_character[str(row["character"])].append(row)
    chosen: list[Mapping[str, Any]] = []
    for c in cast:
        rows = sorted(by_character[c.slug], key=lambda r: str(r["id"]))
        random.Random(f"{settings.seed}/{c.slug}/mix").shuffle(rows)
        most = round(len(c.lines) * settings.synthetic_share / (1 - settings.synthetic_share))
        specific = [r for r in rows if r["kind"] not in GENERAL_KINDS]
        general = [r for r in rows if r["kind"] in GENERAL_KINDS]
        taken = min(len(general), round(most * settings.general_share) if specific else most)
        specific = specific[: most - taken]
        if specific and settings.general_share < 1:
            # Too few of the others: the ratio is what was asked for, so everyday instructions give way too.
            taken = min(taken, round(len(specific) * settings.general_share / (1 - settings.general_share)))
        whole = [*specific, *general[:taken]]
        random.Random(f"{settings.seed}/{c.slug}/most").shuffle(whole)
        chosen += whole
    return chosen


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if not path.is_file():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise SourceRefused(f"{path}:{number}: is not a JSON object on one line ({error}); synthesize that method again") from error
        yield row


def synthesized_in(run: Path, methods: Sequence[str] = ()) -> list[Path]:
    """The folders of a run that ``synthesize`` has finished; of ``methods`` alone, where some are named.

    Raises:
        SourceRefused: a named one is not finished.
    """
    found = sorted(p.parent for p in run.glob(f"{folder_of('*')}/{STATS}"))
    if not methods:
        return found
    wanted = [run / folder_of(method) for method in methods]
    missing = next((p for p in wanted if p not in found), None)
    if missing is not None:
        method = missing.name.removeprefix(folder_of(""))
        raise SourceRefused(f"{run.name}: {method} is not synthesised, or not finished; run: troupe-train synthesize {method}")
    return wanted


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--characters", type=Path, metavar="FOLDER", help="default: what profile made in this run, else characters")
    add_settings(parser, MixSettings)


def command(args: Namespace) -> None:
    settings = settings_from(args, MixSettings)
    with working_in(run_folder(args.runs, args.run)) as run:
        profiled = run / "profile" / "characters"
        characters = args.characters or (profiled if profiled.is_dir() else Path("characters"))
        folder = mix(characters, synthesized_in(run, settings.methods), run / "mix", settings)
    told = json.loads((folder / STATS).read_text(encoding="utf-8"))
    Console().print(told)
    Console().print(f"next: troupe-train dataset --characters {folder / CHARACTERS} --instructions {folder / MIXED}", soft_wrap=True)
