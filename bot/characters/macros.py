"""The macros of character cards, and example dialogue written with them.

Source: the "Curly Braced Syntaxes" of the Character Card V3 specification, and the angle-bracket forms of older cards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from zlib import crc32

_MACRO = re.compile(r"\{\{([^{}]*)\}\}|<(char|bot|user|start)>", re.IGNORECASE)
_START = re.compile(r"<START>|\{\{START\}\}", re.IGNORECASE)


def fill_macros(text: str, char: str, user: str) -> str:
    """Put names in place of macros, in one pass: what a name contains is never expanded again.

    ``{{random:...}}``, ``{{pick:...}}`` and ``{{roll:...}}`` choose by the macro's own text, so that the same card
    gives the same prompt every time and its prefix stays cached. Macros that are not known stay as they are.
    """

    def value(found: re.Match[str]) -> str:
        angled = found.group(2)
        if angled is not None:
            return {"user": user, "start": ""}.get(angled.lower(), char)
        return _macro(found.group(1), found.group(0), char, user)

    return _MACRO.sub(value, text)


def _macro(inside: str, whole: str, char: str, user: str) -> str:
    name, _, rest = inside.strip().partition(":")
    name = name.strip().lower()
    if name == "char":
        return char
    if name == "user":
        return user
    if name.startswith("//") or name in ("comment", "hidden_key", "original", "trim", "start"):
        return ""
    if name == "newline":
        return "\n"
    if name in ("random", "pick"):
        options = rest[1:].split("::") if rest.startswith(":") else re.split(r"(?<!\\),", rest)
        return options[crc32(whole.encode("utf-8", "replace")) % len(options)].replace("\\,", ",").strip()
    if name == "roll":
        sides = re.fullmatch(r":?\s*[dD]?(\d{1,6})", rest.strip())
        return str(1 + crc32(whole.encode()) % max(1, int(sides.group(1)))) if sides else whole
    if name == "reverse":
        return rest[::-1]
    return whole


@dataclass(frozen=True, slots=True)
class ExampleLine:
    """One line of example dialogue; ``text`` still has its macros."""

    by_character: bool
    text: str


Dialogue = tuple[ExampleLine, ...]


def example_dialogues(text: str, names: tuple[str, ...] = ()) -> tuple[Dialogue, ...]:
    """``mes_example`` as dialogues: separated by ``<START>``, a line opens with ``{{user}}:`` or ``{{char}}:``.

    ``names`` are what else the character may be called at the start of a line. A line without a speaker goes on with
    what was said before; a dialogue that begins without one is taken as the character's.
    """
    character = "|".join((r"\{\{char\}\}", "<char>", "<bot>", *(re.escape(name) for name in names if name)))
    speaker = re.compile(
        rf"^[ \t>*]*(?:(?P<user>\{{\{{user\}}\}}|<user>|you|user)|(?P<char>{character}))[ \t]*:\*{{0,2}}[ \t]*", re.IGNORECASE
    )
    dialogues = (_dialogue(block, speaker) for block in _START.split(text.replace("\r\n", "\n")))
    return tuple(dialogue for dialogue in dialogues if dialogue)


def _dialogue(block: str, speaker: re.Pattern[str]) -> Dialogue:
    said: list[tuple[bool, list[str]]] = []
    for line in block.split("\n"):
        opened = speaker.match(line)
        if opened is not None:
            said.append((opened.group("char") is not None, [line[opened.end() :]]))
        elif said:
            said[-1][1].append(line)
        elif line.strip():
            said.append((True, [line]))
    lines = (ExampleLine(by_character, "\n".join(parts).strip()) for by_character, parts in said)
    return tuple(line for line in lines if line.text)
