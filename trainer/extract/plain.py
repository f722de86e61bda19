"""Plays and scripts as plain text: "NAME. text", "NAME: text", "角色：台词"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.extract.source import Source
from trainer.extract.speech import Speech

_TITLE = r"(?:MR|MRS|MS|DR|REV|ST|PROF|CAPT|HON|SGT|LT|COL|Mr|Mrs|Ms|Dr|Rev|St|Prof|Capt|Hon|Sgt|Lt|Col)\. "
_HOW = r"(?:[ \t]*[\[(（_](?P<how>[^\])）_]{1,200})[\])）_]+\.?)?"
CAPITALS = re.compile(rf"^_?(?P<name>(?:{_TITLE})?[A-Z][A-Z'’&, -]{{1,39}}?)_?{_HOW}[.:](?:_|\s|$)(?P<line>.*)$")
COLON = re.compile(rf"^(?P<name>(?:{_TITLE})?[^\W\d_][\w'’&·, -]{{0,29}}?){_HOW}[ \t]*[:：](?P<line>.*)$")
MIXED = re.compile(rf"^_?(?P<name>(?:{_TITLE})?[A-Z][a-z'’]+(?: [A-Z][a-z'’]+){{0,2}})_?{_HOW}\.(?:_|\s|$)(?P<line>.*)$")
_STYLES = ((CAPITALS, 1), (COLON, 2), (MIXED, 5))  # how often a name must open a line before it is a speaker's
_HEADING = re.compile(
    r"^\s*(?:(?:ACT|SCENE|Act|Scene|PROLOGUE|EPILOGUE)\b.{0,80}|(?:FIRST|SECOND|THIRD|FOURTH|FIFTH) (?:ACT|SCENE).{0,60}"
    r"|第[一二三四五六七八九十百\d]+[幕场回折出].{0,60})$"
)
_END = re.compile(r"^\s*(?:\*\*\*|THE END|CURTAIN|TABLEAU|END OF|幕落|剧终|全剧终)")
_BRACKETED = re.compile(r"\[([^\]]*)\]|_\(([^)]*)\)_|（([^）]*)）|\((?=[A-Z])([^)]*)\)")
_CANDIDATES = 50_000
_NEVER = frozenset("ACT SCENE NOTE CHAPTER PROLOGUE EPILOGUE CURTAIN TABLEAU EXEUNT EXIT ENTER SCENES TIME PLACE CHARACTERS".split())


@dataclass(frozen=True, slots=True)
class Manner:
    """How a source names its speakers, and which names those are."""

    style: re.Pattern[str]
    names: frozenset[str]
    leads: int  # lines that begin with one of the names


def manner(source: Source) -> Manner:
    """The style in which most lines are led in. Reads the whole source once; holds only names."""
    counts: list[Counter[str]] = [Counter() for _ in _STYLES]
    after_blank = True
    for line in source.lines():
        for (style, _), names in zip(_STYLES, counts, strict=True):
            found = style.match(line)
            if found and (style is not MIXED or after_blank) and not _HEADING.match(line):
                name = found["name"].strip()
                if name.upper() not in _NEVER and (name in names or len(names) < _CANDIDATES):
                    names[name] += 1
        after_blank = not line.strip()
    manners = [
        Manner(style, kept := frozenset(n for n, c in names.items() if c >= least), sum(names[n] for n in kept))
        for (style, least), names in zip(_STYLES, counts, strict=True)
    ]
    return max(manners, key=lambda m: m.leads)


def speeches(source: Source) -> Iterator[Speech]:
    """Speeches of everybody whose name opens a line often enough; lines that follow belong to them."""
    how = manner(source)
    scene, name, opening = source.path.stem, None, ""
    said: list[str] = []
    act = ""
    for line in _ended(source):
        found = how.style.match(line)
        if _HEADING.match(line) or _END.match(line):
            yield from _speech(scene, name, opening, said)
            name, said = None, []
            if not _END.match(line):
                head = " ".join(line.split()).rstrip(".")
                is_act = bool(re.search(r"act\b|[幕回折出]", head, re.IGNORECASE))
                act, scene = (head, head) if is_act else (act, f"{act}/{head}" if act else head)
        elif found and found["name"].strip() in how.names:
            yield from _speech(scene, name, opening, said)
            name, opening, said = found["name"].strip(), found["how"] or "", [found["line"]]
        elif line.strip() and name is not None:
            said.append(line)
        elif line.strip() and (alone := re.fullmatch(r"\s*[\[(（](.*)[\])）]\s*", line)):
            yield Speech(scene, None, "", (" ".join(alone[1].split()),))


def _ended(source: Source) -> Iterator[str]:
    yield from source.lines()
    yield "THE END"  # so that the last speech is given out like the others


def _speech(scene: str, name: str | None, opening: str, said: list[str]) -> Iterator[Speech]:
    if name is None:
        return
    text = " ".join(" ".join(said).split())
    stage = [opening.strip()] if opening.strip() else []

    def take(found: re.Match[str]) -> str:
        stage.append(next(g for g in found.groups() if g is not None).strip())
        return " "

    text = " ".join(_BRACKETED.sub(take, text).replace("_", "").split())
    kept = tuple(s for s in stage if s)
    if text:
        yield Speech(scene, name, text, kept)
    elif kept:
        yield Speech(scene, None, "", kept)
