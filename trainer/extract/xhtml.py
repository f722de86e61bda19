"""Plays as XHTML: a table row a speech, its persona cell names the speaker (the Standard Ebooks manual, "Plays").

Read by ``html.parser``, which takes what is not well formed too and needs no entities declared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from trainer.errors import SourceRefused
from trainer.extract.source import LINE_CHARACTERS, Source
from trainer.extract.speech import Speech

_SPACES = re.compile(r"\s+")
_NEVER_CLOSED = frozenset("area base br col embed hr img input link meta source track wbr".split())
_SCENE = ("z3998:scene", "chapter", "z3998:drama")


def speeches(source: Source) -> Iterator[Speech]:
    """Every row with a persona cell, and stage directions that have a row for themselves."""
    play = _Play(source.path.stem)
    for block in source.blocks():
        play.feed(block)
        if len(play.rawdata) > LINE_CHARACTERS:
            raise SourceRefused(f"{source.path}: has a tag of more than {LINE_CHARACTERS:,} characters, so it is no XHTML")
        yield from play.taken()
    play.close()
    yield from play.taken()


class _Play(HTMLParser):
    def __init__(self, name: str) -> None:
        super().__init__(convert_charrefs=True)
        self._name = name
        self._scenes: list[str | None] = []  # of the sections that are open, the innermost last
        self._open: list[tuple[str, str]] = []  # tags that are open inside a row, with their epub:type
        self._done: list[Speech] = []
        self._in_row = False
        self._clear()

    def taken(self) -> list[Speech]:
        done, self._done = self._done, []
        return done

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        kind = values.get("epub:type", "")
        if tag in ("section", "article"):
            self._scenes.append(values.get("id") or None if any(s in kind.split() for s in _SCENE) else None)
        elif tag == "tr":
            self._in_row = True
            self._clear()
        elif self._in_row and tag not in _NEVER_CLOSED:
            self._open.append((tag, kind))
            if "z3998:stage-direction" in kind and self._depth("z3998:stage-direction") == 1:
                self._stage.append("")
        elif self._in_row and tag in ("br", "hr"):
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("section", "article") and self._scenes:
            self._scenes.pop()
        elif tag == "tr" and self._in_row:
            self._end_row()
        elif self._in_row and any(t == tag for t, _ in self._open):
            while self._open and self._open.pop()[0] != tag:
                pass
            if tag in ("p", "span", "td"):
                self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if not self._in_row:
            return
        cell = next((kind for tag, kind in self._open if tag in ("td", "th")), None)
        if cell is None:
            return
        if self._depth("z3998:stage-direction"):
            self._stage[-1] += data
        elif "z3998:persona" in cell:
            self._speaker += data
        else:
            self._line += data

    def _depth(self, kind: str) -> int:
        return sum(kind in k.split() for _, k in self._open)

    def _end_row(self) -> None:
        speaker, line = _plain(self._speaker), _plain(self._line)
        stage = tuple(s for s in map(_plain, self._stage) if s)
        scene = next((s for s in reversed(self._scenes) if s), self._name)
        if speaker and line:
            self._done.append(Speech(scene, speaker, line, stage))
        elif line or stage:
            # A line beside an empty cell goes on with a speech after an entrance; whose, the row does not say.
            self._done.append(Speech(scene, None, line, stage, "unattributed" if line else "attributed"))
        self._in_row = False
        self._open.clear()

    def _clear(self) -> None:
        self._speaker, self._line = "", ""
        self._stage: list[str] = []


def _plain(text: str) -> str:
    # A word joiner keeps a dash or an ellipsis on its line; in a sentence it is nothing.
    return _SPACES.sub(" ", text.replace("\u2060", "").replace("\u200a", " ")).strip()
