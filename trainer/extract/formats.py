"""Which format a file has, and who reads it. To add one: a module with ``speeches(source)`` and a row here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from trainer.errors import SourceRefused
from trainer.extract import cards, chatlog, fountain, haruhi, novel, plain, subtitles, xhtml
from trainer.extract.source import Source
from trainer.extract.speech import Speech

Reader = Callable[[Source, Mapping[str, str]], Iterator[Speech]]


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    about: str
    read: Reader
    by_people: bool = False  # written by people who are alive: only who lends a character their voice is read


FORMATS = {
    f.name: f
    for f in (
        Format("xhtml", "a play in XHTML with persona cells", lambda s, _: xhtml.speeches(s)),
        Format("fountain", "a screenplay in Fountain", lambda s, _: fountain.speeches(s)),
        Format("plain", 'a play or script as text: "NAME. text" or "NAME: text"', lambda s, _: plain.speeches(s)),
        Format("novel", "prose with speech in quotation marks", novel.speeches),
        Format("subtitles", ".srt, .vtt, .ass", lambda s, _: subtitles.speeches(s)),
        Format("chat", "a Discord or Telegram export in JSON", lambda s, _: chatlog.speeches_json(s), by_people=True),
        Format("jsonl", "one object a line with speaker and line", lambda s, _: chatlog.speeches_jsonl(s)),
        Format("haruhi", "scene files, 角色:「话」", lambda s, _: haruhi.speeches(s)),
        Format("card", "a character card's example dialogues", lambda s, _: cards.speeches(s)),
    )
}
_ENDINGS = {
    ".xhtml": "xhtml",
    ".html": "xhtml",
    ".htm": "xhtml",
    ".xml": "xhtml",
    ".fountain": "fountain",
    ".spmd": "fountain",
    ".srt": "subtitles",
    ".vtt": "subtitles",
    ".ass": "subtitles",
    ".ssa": "subtitles",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".png": "card",
    ".charx": "card",
    ".byaf": "card",
}
_SNIFFED_LINES = 2000
_SAYS = ("道", "说", "问", "答", "喊", "叫", "said", "says")  # a novel's, before a quotation


def recognise(source: Source) -> str | None:
    """The format's name by ending and by what stands inside; None for a file that is none of them."""
    ending = source.path.suffix.lower()
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    if ending == ".json":
        head = next(source.blocks(), "")
        return "card" if re.search(r'"(?:spec|mes_example|char_name|first_mes)"\s*:', head) else "chat" if '"messages"' in head else None
    if ending not in (".txt", ".text", ""):
        return None
    lines = [line for line in islice(source.lines(), _SNIFFED_LINES) if line.strip()]
    if not lines:
        return None
    named = [found["name"] for line in lines if (found := haruhi.LINE.match(line))]
    if sum(not name.endswith(_SAYS) for name in named) >= max(2, 0.3 * len(lines)):
        return "haruhi"
    if plain.manner(source).leads >= 0.12 * sum(1 for line in source.lines() if line.strip()):
        return "plain"
    quoted = sum(any(mark in line for mark in '"“「') for line in lines)
    return "novel" if quoted >= max(2, 0.02 * len(lines)) else None


def sources_of(path: Path, encoding: str, asked: str) -> list[tuple[Source, Format]]:
    """The files to read, in the order of their names.

    Raises:
        SourceRefused: there is none, of no known format, or of several formats at once.
    """
    if asked and asked not in FORMATS:
        raise SourceRefused(f"{asked!r:.40} is no format; there are {', '.join(FORMATS)}")
    if path.is_file():
        source = Source(path, encoding)
        if path.stat().st_size == 0:
            raise SourceRefused(f"{path}: is empty; there is nothing to learn from")
        name = asked or recognise(source)
        if name is None:
            raise SourceRefused(f"{path}: is of no format that is known here; say which with --format ({', '.join(FORMATS)})")
        return [(source, FORMATS[name])]
    if not path.is_dir():
        raise SourceRefused(f"{path}: there is no such file or folder; check the path")
    files = sorted((p for p in path.rglob("*") if p.is_file() and p.stat().st_size and not p.name.startswith(".")), key=_natural)
    found = [(Source(p, encoding), recognise(Source(p, encoding))) for p in files]
    kinds = sorted({name for _, name in found if name})
    if not asked and len(kinds) != 1:
        several = f"holds files of several formats ({', '.join(kinds)}); say which to read"
        raise SourceRefused(f"{path}: {several if kinds else 'holds no file of a known format; say which it is'} with --format")
    kind = asked or kinds[0]
    chosen = [(source, FORMATS[kind]) for source, name in found if name == kind]
    if not chosen:
        raise SourceRefused(f"{path}: holds no file that looks like {FORMATS[kind].about}; check --format, or name one file")
    return chosen


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """So that scene 2 comes before scene 10."""
    return [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in re.split(r"(\d+)", path.as_posix()) if p]
