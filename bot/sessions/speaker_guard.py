"""Keeps a reply to one speaker: a character's own name before its line is taken off once, and what somebody else would say is cut.

Pure text in, pure text out. The text comes piece by piece, so whatever could still turn out to be a name is held back
until it is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LONGEST_NAME = 42


class SpeakerGuard:
    """Feed it the pieces of one reply; ``shown`` is what may be seen so far."""

    def __init__(self, own: Iterable[str], others: Iterable[str]) -> None:
        """``own``: how the character is called. ``others``: everybody else who could be written as a speaker."""
        self._own = _speaker_pattern(own)
        self._others = _speaker_pattern(others)
        self._names = tuple(n.casefold() for n in (*own, *others) if n)
        self._text = ""
        self.cut = False  # a foreign line has begun: nothing that follows belongs to the character

    @property
    def shown(self) -> str:
        return self._visible(final=False)

    def feed(self, piece: str) -> str:
        """Add a piece; returns what may be seen so far."""
        if not self.cut:
            self._text += piece
        return self._visible(final=False)

    def finish(self) -> str:
        """The reply, whole. Nothing is held back any more."""
        return self._visible(final=True)

    def _visible(self, *, final: bool) -> str:
        text = self._text.lstrip()
        if self._own is not None and (own := self._own.match(text)):
            text = text[own.end() :].lstrip()
        elif not final and self._could_be_name(text):
            return ""
        kept: list[str] = []
        lines = text.split("\n")
        for i, line in enumerate(lines):
            if self._others is not None and self._others.match(line.lstrip()):
                self.cut = True
                break
            if i > 0 and self._own is not None and (own := self._own.match(line.lstrip())):
                line = line.lstrip()[own.end() :].lstrip()
            if i == len(lines) - 1 and not final and self._could_be_name(line.lstrip()):
                break
            kept.append(line)
        return "\n".join(kept).rstrip()

    def _could_be_name(self, line: str) -> bool:
        """Whether a line that is still being written may become ``Name:``."""
        start = line.lstrip("*_ ").casefold()
        if not start:
            return bool(line)  # marks alone may yet stand before a name
        if len(start) > _LONGEST_NAME:
            return False
        return any(name.startswith(start) or (start.startswith(name) and not start[len(name) :].strip("*_ ")) for name in self._names)


def _speaker_pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    known = sorted({re.escape(n) for n in names if n}, key=len, reverse=True)
    if not known:
        return None
    return re.compile(rf"[*_]{{0,2}}(?:{'|'.join(known)})[*_]{{0,2}}\s?[:：][*_]{{0,2}}", re.IGNORECASE)
