"""Screenplays in Fountain (fountain.io/syntax): plain text in which blank lines and capitals say what is what."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trainer.extract.source import Source
from trainer.extract.speech import Speech

_HEADING = re.compile(r"^(?:INT|EXT|EST|INT\./EXT|INT/EXT|I/E)[. ]", re.IGNORECASE)
_CHARACTER = re.compile(r"^[^a-z]*[A-Z][^a-z]*?(?:\s*\([^)]*\))*\s*\^?$")
_TRANSITION = re.compile(r"^[A-Z .']+(?:TO|OUT|IN)[:.]$")
_NOTE = re.compile(r"\[\[.*?\]\]|/\*.*?\*/", re.DOTALL)
_EMPHASIS = re.compile(r"(?<!\\)(?:\*{1,3}|_)")
_TITLE_KEY = re.compile(r"^[A-Z][A-Za-z ]*:")


def speeches(source: Source) -> Iterator[Speech]:
    """Dialogue under its character's name; action as stage directions that stand alone."""
    scene = "opening"
    headings = 0
    for block in _blocks(source):
        first = block[0].strip()
        if (_HEADING.match(first) or (first.startswith(".") and not first.startswith(".."))) and len(block) == 1:
            headings += 1
            scene = f"{headings} {first.lstrip('.').split('#')[0].strip()}"
        elif first.startswith(("#", "=", ">", "~")) or (_TRANSITION.match(first) and len(block) == 1):
            continue
        elif len(block) > 1 and (first.startswith("@") or (_CHARACTER.match(first) and not first.startswith("!"))):
            yield from _dialogue(scene, first, block[1:])
        else:
            yield Speech(scene, None, "", (_plain(" ".join(block).lstrip("!")),))


def _dialogue(scene: str, name: str, lines: list[str]) -> Iterator[Speech]:
    spoken: list[str] = []
    stage: list[str] = []
    for line in map(str.strip, lines):
        if line.startswith("(") and line.endswith(")"):
            stage.append(_plain(line[1:-1]))
        else:
            spoken.append(line.lstrip("~"))
    text = _plain(" ".join(spoken))
    if text:
        yield Speech(scene, name.lstrip("@").rstrip("^ "), text, tuple(stage))


def _blocks(source: Source) -> Iterator[list[str]]:
    """Lines that stand together, without notes, what is cut out, and the title page."""
    block: list[str] = []
    hidden = False
    title = True
    for line in source.lines():
        shown, hidden = _shown(line, hidden)
        # Two spaces keep a speech together over what looks like an empty line.
        if shown.strip() or (shown == "  " and block):
            block.append(shown)
            continue
        if block and not (title and _TITLE_KEY.match(block[0]) and not _HEADING.match(block[0])):
            yield block
        title = title and not block
        block = []
    if block:
        yield block


def _shown(line: str, hidden: bool) -> tuple[str, bool]:
    """What is left of a line when notes are gone; ``hidden``: one is open."""
    if hidden:
        ends = [i + 2 for i in (line.find("*/"), line.find("]]")) if i >= 0]
        if not ends:
            return "", True
        line = line[min(ends) :]
    line = _NOTE.sub("", line)
    begins = [i for i in (line.find("/*"), line.find("[[")) if i >= 0]
    return (line[: min(begins)], True) if begins else (line, False)


def _plain(text: str) -> str:
    return " ".join(_EMPHASIS.sub("", text).replace("\\", "").split())
