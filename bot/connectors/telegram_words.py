"""What a character says, as Telegram shows it: its name in bold, emphasis by entities, and nobody called by accident.

Pure text in, text and entities out. Nothing is ever sent in a parse mode: no text can break it.
"""

from __future__ import annotations

import re

from telegram import MessageEntity

from bot.messages import Face, Limits

LONGEST, LONGEST_CAPTION = 4096, 1024  # UTF-16 units, after entities parsing
HEAD_RESERVE = 196  # a name has at most 80 characters of at most two units, an emoji a few more
ANSWER = Limits(units="utf16", length=LONGEST)

_MARKED = re.compile(
    r"```(?:[\w+-]*\n)?(?P<pre>.+?)```"
    r"|`(?P<code>[^`\n]+)`"
    r"|\*\*(?P<bold>[^\s*](?:[^*\n]*[^\s*])?)\*\*"
    r"|(?<![\w*])\*(?P<italic>[^\s*](?:[^*\n]*[^\s*])?)\*(?![\w*])"
    r"|(?<![\w_])_(?P<italic_too>[^\s_](?:[^_\n]*[^\s_])?)_(?![\w_])",
    re.DOTALL,
)
_MENTION = re.compile(r"(?<![\w@])@(?=([A-Za-z]\w{3,}))")
_KINDS = {"pre": "pre", "code": "code", "bold": "bold", "italic": "italic", "italic_too": "italic"}


def spoken(face: Face | None, text: str) -> tuple[str, list[MessageEntity]]:
    """A reply as it is sent: name and words, and the entities that format both. Without a face the words alone.

    At most ``HEAD_RESERVE`` units longer than ``text``.
    """
    head = _head(face)
    entities = []
    if face is not None:
        name_at = units(head) - units(face.name) - 1
        entities.append(MessageEntity("bold", name_at, units(face.name)))
    body, marks = _formatted(uncalled(text))
    shift = units(head)
    entities += [MessageEntity(kind, at + shift, length) for kind, at, length in marks]
    return head + body, entities


def plainly(face: Face | None, text: str) -> str:
    """The same without entities, for a Telegram that refuses them: better plain than lost."""
    return _head(face) + uncalled(text)


def uncalled(text: str, but: str = "") -> str:
    """Nobody is notified by what a model writes: the sign that calls somebody is replaced by its full-width twin.

    ``but`` is the one name that may stand as it is: our own.
    """
    return _MENTION.sub(lambda found: "@" if but and found[1].casefold() == but.casefold() else "＠", text)


def units(text: str) -> int:
    """How long Telegram finds a text."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _head(face: Face | None) -> str:
    return "" if face is None else f"{face.emoji} {face.name}\n".lstrip()


def _formatted(text: str) -> tuple[str, list[tuple[str, int, int]]]:
    """Marks taken out of the text, and in their place (kind, offset, length)."""
    parts: list[str] = []
    marks: list[tuple[str, int, int]] = []
    length = end = 0
    for found in _MARKED.finditer(text):
        group = found.lastgroup
        if group is None or not found.group(group).strip():
            continue
        before, inner = text[end : found.start()], found.group(group)
        length += units(before)
        marks.append((_KINDS[group], length, units(inner)))
        length += units(inner)
        parts += [before, inner]
        end = found.end()
    return "".join([*parts, text[end:]]), marks
