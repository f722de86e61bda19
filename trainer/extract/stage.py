"""Stage ``extract``: a text -> rows of dialogue, and folders of the characters that were chosen.

``rows.jsonl`` holds everything that was said, ``speakers.json`` who said how much, ``characters/<slug>/`` a card to begin with,
``lines.jsonl`` with true context and ``held_out.jsonl``. Text of any length is read bit by bit, several times.

Of a chat between people only those are read who have agreed that characters be made from what they say (``bot.memory.likenesses``);
everybody else's messages are no context either. Rows name the person, so that a withdrawal finds them and what was made of them.
"""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bot.config import Section, load_config
from bot.memory.store import Store
from trainer.errors import SourceRefused
from trainer.extract.aliases import Aliases, read_aliases
from trainer.extract.exchanges import Part, part, starting_card, write_character
from trainer.extract.formats import FORMATS, Format, sources_of
from trainer.extract.source import Source
from trainer.extract.speech import Row, Speech, number, read_rows, write_rows
from trainer.manifest import BEGUN, MANIFEST, begin, write_json
from trainer.options import add_run, add_settings, settings_from
from trainer.runs import run_folder, working_in

ROWS, SPEAKERS, CHARACTERS = "rows.jsonl", "speakers.json", "characters"
NOBODY_AGREED = (
    "is a chat between people, and none of them has agreed that characters be made from what they say; a moderator asks with "
    "/character portray (Telegram: /portray), and each person answers alone, with /privacy"
)


class ExtractSettings(Section):
    """What the source is, who is wanted, and what is held out."""

    format: str = ""  # empty: by the file's ending and what stands in it
    encoding: str = "utf-8"
    title: str = ""  # of the work; empty: the source's file name
    aliases: Path | None = None  # TOML or JSON: a name -> what else it is called
    characters: tuple[str, ...] = ()  # names; empty: those who speak most
    most: int = Field(8, ge=1)  # how many, where no names are given
    least_lines: int = Field(60, ge=1)  # for those who are chosen by how much they speak
    held_out: tuple[str, ...] = ()  # scenes, acts or chapters; empty: the end of everybody's lines
    tail: float = Field(0.15, ge=0, lt=0.9)  # the last share of lines, where no scenes are given
    unsure: bool = False  # also lines whose speaker was only inferred


def extract(source: Path, into: Path, settings: ExtractSettings, lent: Callable[[], frozenset[str]] = frozenset) -> Path:
    """Read a file, or all files of a folder that have one format. Returns ``into``.

    ``lent`` gives the ids of the people who have agreed to it; it is asked only about a chat between people.

    Raises:
        SourceRefused: unknown format, wrong encoding, nothing said in it, nobody who agreed, or somebody who says too little.
    """
    found = sources_of(source, settings.encoding, settings.format)
    kind = found[0][1]
    voices = lent() if kind.by_people else None
    if voices is not None and not voices:
        raise SourceRefused(f"{source}: {NOBODY_AGREED}")
    inputs: dict[str, Path | str] = {f"source {s.path.name}" if len(found) == 1 else _within(s.path, source): s.path for s, _ in found}
    if settings.aliases:
        inputs["aliases"] = settings.aliases
    stage = begin(into, "extract", inputs=inputs, settings=settings.model_dump(mode="json", exclude={"aliases"}), seed=0)
    if stage.finished:
        return into
    try:
        return stage.finish(_carry_out(source, found, into, settings, voices))
    except SourceRefused:
        (into / BEGUN).unlink(missing_ok=True)  # nothing is kept of it: the next call may ask for something else
        raise


def _carry_out(
    source: Path, found: Sequence[tuple[Source, Format]], into: Path, settings: ExtractSettings, voices: frozenset[str] | None
) -> dict[str, Any]:
    table = read_aliases(settings.aliases) if settings.aliases else {}
    aliases = Aliases(table)
    raw = into / "raw.jsonl"
    left_out: Counter[str] = Counter()
    write_rows(raw, number(_seen(_agreed(_all(found, table), voices, left_out), aliases)))
    rows = into / ROWS
    write_rows(rows, _named(read_rows(raw), aliases))
    raw.unlink()
    told = _speakers(read_rows(rows))
    if not told["speeches"] and left_out:
        raise SourceRefused(f"{source}: {NOBODY_AGREED}")
    if not told["speeches"]:
        raise SourceRefused(f"{source}: nobody says anything in it when it is read as {found[0][1].about}; say what it is with --format")
    title = settings.title or source.stem
    _check_held_out(told, settings, source)
    chosen = _chosen(told, settings, source)
    parts = [part(read_rows(rows), name, title, settings.held_out, settings.tail, unsure=settings.unsure) for name in chosen]
    for one in parts:
        partners = [name for name, _ in Counter(e.with_name for e in one.taught if e.with_name).most_common(3)]
        write_character(into / CHARACTERS / one.slug, starting_card(one, title, partners), one.taught, one.held_out)
    write_json(into / SPEAKERS, told)
    return {**_figures(found[0][1], told, parts), **left_out}


def _all(found: Sequence[tuple[Source, Format]], table: dict[str, str]) -> Iterator[Speech]:
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("reading", total=len(found))
        for source, kind in found:
            yield from kind.read(source, table)
            progress.advance(task)


def _agreed(speeches: Iterable[Speech], voices: frozenset[str] | None, left_out: Counter[str]) -> Iterator[Speech]:
    for speech in speeches:
        if voices is None or speech.person in voices:
            yield speech
        else:
            left_out["without_agreement"] += 1


def _seen(speeches: Iterable[Speech], aliases: Aliases) -> Iterator[Speech]:
    for speech in speeches:
        if speech.speaker:
            aliases.see(speech.speaker)
        yield speech


def _named(rows: Iterable[Row], aliases: Aliases) -> Iterator[Row]:
    for row in rows:
        yield replace(row, speaker=aliases.name(row.speaker)) if row.speaker else row


def _speakers(rows: Iterable[Row]) -> dict[str, Any]:
    """Counts of everything; only counts are kept in memory."""
    by_name: Counter[str] = Counter()
    sure: Counter[str] = Counter()
    attributions: Counter[str] = Counter()
    scenes: dict[str, None] = {}
    count = directions = 0
    for row in rows:
        count += 1
        directions += len(row.stage)
        scenes[row.scene.split("/")[0]] = None
        if row.spoken:
            attributions[row.attribution] += 1
            if row.speaker:
                by_name[row.speaker] += 1
                sure[row.speaker] += row.attribution == "attributed"
    return {
        "rows": count,
        "speeches": by_name.total(),
        "without_speaker": attributions.total() - by_name.total(),
        "stage_directions": directions,
        "attribution": {kind: attributions[kind] for kind in ("attributed", "unsure", "unattributed")},
        "speakers": dict(by_name.most_common()),
        "attributed": {name: sure[name] for name, _ in by_name.most_common()},
        "scenes": list(scenes)[:2000],
    }


def _chosen(told: dict[str, Any], settings: ExtractSettings, source: Path) -> list[str]:
    counts: dict[str, int] = told["speakers"] if settings.unsure else told["attributed"]
    unknown = [name for name in settings.characters if name not in told["speakers"]]
    if unknown:
        raise SourceRefused(f"{source}: nobody is called {unknown[0]!r:.60}; there are {', '.join(list(counts)[:12]) or 'none'}")
    if settings.characters:
        return list(settings.characters)
    chosen = [n for n, c in sorted(counts.items(), key=lambda item: -item[1]) if c >= settings.least_lines][: settings.most]
    if not chosen:
        best = ", ".join(f"{n} {c}" for n, c in sorted(counts.items(), key=lambda item: -item[1])[:4]) or "nobody is named"
        raise SourceRefused(
            f"{source}: nobody has {settings.least_lines} lines ({best}); name people with --characters, or lower --least-lines"
        )
    return chosen


def _check_held_out(told: dict[str, Any], settings: ExtractSettings, source: Path) -> None:
    known = set(told["scenes"])
    missing = [scene for scene in settings.held_out if scene.split("/")[0] not in known]
    if missing:
        raise SourceRefused(f"{source}: there is no scene {missing[0]!r:.60}; there are {', '.join(told['scenes'][:12])}")


def _figures(kind: Format, told: dict[str, Any], parts: Sequence[Part]) -> dict[str, Any]:
    return {
        "format": kind.name,
        **{key: told[key] for key in ("rows", "speeches", "without_speaker", "stage_directions", "attribution")},
        "named_speakers": len(told["speakers"]),
        "characters": {
            p.slug: {
                "taught": len(p.taught),
                "held_out": len(p.held_out),
                "without_context": p.without_context,
                "too_long": p.too_long,
                "beyond_limit": p.beyond_limit,
            }
            for p in parts
        },
    }


def _within(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help=f"a file, or a folder of files of one format: {', '.join(FORMATS)}")
    add_run(parser)
    parser.add_argument("--config", type=Path, default=Path("config.toml"), metavar="FILE", help="where a chat's people have agreed")
    add_settings(parser, ExtractSettings)


def command(args: Namespace) -> None:
    settings = settings_from(args, ExtractSettings)
    with working_in(run_folder(args.runs, args.run)) as run:
        folder = extract(args.source, run / "extract", settings, lambda: lent_voices(args.config))
    show(folder, Console())


def lent_voices(config: Path) -> frozenset[str]:
    """Who has agreed that characters be made from what they say, in the database that this config.toml names.

    Raises:
        ConfigError, StoreError: it cannot be read.
    """
    settings = load_config(config)

    async def read() -> frozenset[str]:
        store = await Store.open(settings.memory, settings.paths.data)
        try:
            return await store.lent_voices()
        finally:
            await store.close()

    return asyncio.run(read())


def show(folder: Path, console: Console) -> None:
    """Who says how much, and what each character that was chosen has."""
    told = json.loads((folder / SPEAKERS).read_text(encoding="utf-8"))
    made = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["figures"]
    table = Table("speaker", "lines", "attributed", title=f"{told['speeches']:,} speeches, {told['stage_directions']:,} stage directions")
    for name, count in list(told["speakers"].items())[:15]:
        table.add_row(name, str(count), str(told["attributed"][name]))
    console.print(table)
    if told["without_speaker"]:
        console.print(f"{told['without_speaker']:,} lines have no speaker that could be told")
    for slug, counts in made["characters"].items():
        console.print(f"{folder / CHARACTERS / slug}: {counts['taught']} lines, {counts['held_out']} held out", highlight=False)
