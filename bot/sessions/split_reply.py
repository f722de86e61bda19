"""Cutting a long reply into messages that a platform takes.

A piece is never longer than the limit in the platform's own unit, never ends inside a grapheme, a link, a mention or an
emoji tag, and reopens a code fence that it had to close. Without fences, the pieces joined are the reply.
"""

from __future__ import annotations

import regex

from bot.messages import Limits

_FENCE = regex.compile(r"^[ \t]*(```+|~~~+)([^\n`]*)$", regex.MULTILINE)
# What must stay whole: links, Discord's mentions and emoji tags, Markdown links, and otherwise single graphemes.
_ATOM = regex.compile(r"https?://[^\s<>]+|<[@#:a][^<>\s]{1,80}>|\[[^\]\n]{1,200}\]\([^)\s]{1,500}\)|\X")
_CLOSE_RESERVE = 8


def length(text: str, limits: Limits) -> int:
    """How long the platform finds a text."""
    return len(text.encode("utf-16-le")) // 2 if limits.units == "utf16" else len(text)


def split_reply(text: str, limits: Limits) -> list[str]:
    """The text as one or more messages; empty text gives none."""
    if not text:
        return []
    pieces: list[str] = []
    fence = ""  # the line that opened the code block we are in
    rest = text
    while rest:
        opening = f"{fence}\n" if fence else ""
        room = limits.length - length(opening, limits)
        if length(rest, limits) <= room:
            pieces.append(opening + rest)
            break
        taken = _take(rest, room - _CLOSE_RESERVE, limits)
        fence_after = _open_fence(opening + taken)
        closing = "\n" + _marker(fence_after) if fence_after else ""
        pieces.append(opening + taken + closing)
        rest, fence = rest[len(taken) :], fence_after
    return pieces


def _take(text: str, room: int, limits: Limits) -> str:
    """The longest good beginning: up to a paragraph, else a line, else a sentence, else a word, else a grapheme."""
    fits = 0
    used = 0
    for atom in _ATOM.finditer(text):
        size = length(atom.group(), limits)
        if used + size > room:
            break
        used += size
        fits = atom.end()
    if fits == 0:  # one atom longer than a message (a very long link): it is cut like any text
        fits = _hard_cut(text, room, limits)
    head = text[:fits]
    for separator in ("\n\n", "\n", ". ", "! ", "? ", "。", "！", "？", " "):
        at = head.rfind(separator)
        # A separator may stand inside a link's text or the like; only a cut that the atoms allow is taken.
        if at > fits // 3 and _between_atoms(text, at + len(separator)):
            return text[: at + len(separator)]
    return head


def _between_atoms(text: str, at: int) -> bool:
    return any(atom.end() == at for atom in _ATOM.finditer(text, 0, len(text)) if atom.end() <= at)


def _hard_cut(text: str, room: int, limits: Limits) -> int:
    used = 0
    for grapheme in regex.finditer(r"\X", text):
        used += length(grapheme.group(), limits)
        if used > room:
            # A single grapheme longer than a message cannot be kept whole anywhere.
            return grapheme.start() or _code_points(text, room, limits)
    return len(text)


def _code_points(text: str, room: int, limits: Limits) -> int:
    used = 0
    for i, char in enumerate(text):
        used += length(char, limits)
        if used > room:
            return max(i, 1)
    return len(text)


def _open_fence(text: str) -> str:
    opened = ""
    for line in _FENCE.finditer(text):
        if not opened:
            opened = line.group().strip()
        elif line.group(1).startswith(_marker(opened)) and not line.group(2).strip():
            opened = ""
    return opened


def _marker(fence_line: str) -> str:
    found = regex.match(r"```+|~~~+", fence_line)
    return found.group() if found else "```"
