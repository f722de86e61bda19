"""The forms in which a teacher answers: a grammar for llama.cpp, and a strict reader for whatever comes back.

A server is not told the grammar, so the reader takes nothing on trust. An answer that was cut off at its limit loses its last,
unfinished block and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from trainer.asking import AnswerMisshapen

LINE_CHARACTERS = 600  # of one value
# Left to itself, a small model goes on until its limit: it has to come to the end of a sentence.
_SENTENCE = 'sentence ::= [^.!?。！？\\n\\r \\t] [^.!?。！？\\n\\r]{1,240} [.!?。！？…]{1,3} ["”」]?\n'


@dataclass(frozen=True, slots=True)
class Value:
    """One labelled line of a block. ``words``: the only ones allowed, each with what it means."""

    key: str
    label: str
    words: Mapping[str, str] = field(default_factory=dict)
    longest: int = LINE_CHARACTERS


@dataclass(frozen=True, slots=True)
class Blocks:
    """One or several blocks of labelled lines, an empty line between them."""

    repeats: ClassVar[bool] = True  # its labels come again and again, so that a penalty on repetition would push a teacher out of it
    values: Sequence[Value]
    most: int = 1

    @property
    def grammar(self) -> str:
        rules = [f"root ::= block ({_quoted(chr(10))} block){{0,{self.most - 1}}}" if self.most > 1 else "root ::= block"]
        rules.append("block ::= " + " ".join(f"{_quoted(f'{v.label}: ')} v{i} {_quoted(chr(10))}" for i, v in enumerate(self.values)))
        for i, v in enumerate(self.values):
            rules.append(f"v{i} ::= " + (" | ".join(map(_quoted, v.words)) if v.words else _text(v.longest)))
        return "\n".join(rules) + "\n"

    @property
    def shown(self) -> str:
        """The form as a teacher is shown it."""
        return "\n".join(f"{v.label}: {'|'.join(v.words) if v.words else '...'}" for v in self.values)

    def written(self, blocks: Sequence[Mapping[str, str]]) -> str:
        """Examples in the form."""
        return "\n\n".join("\n".join(f"{v.label}: {block[v.key]}" for v in self.values) for block in blocks)

    def read(self, answer: str, *, finished: bool) -> list[dict[str, str]]:
        """Raises ``AnswerMisshapen``, saying what is wrong."""
        rows = [row.strip() for row in answer.splitlines() if row.strip()]
        if not rows:
            raise AnswerMisshapen("it is empty")
        size = len(self.values)
        if not finished:
            rows = rows[: (len(rows) - 1) // size * size]  # the line at which it was cut is never whole
            if not rows:
                raise AnswerMisshapen("it was cut off before its first block was whole")
        if len(rows) % size:
            raise AnswerMisshapen(f"it has {len(rows)} lines, and a block has {size}: {', '.join(v.label for v in self.values)}")
        if len(rows) // size > self.most:
            raise AnswerMisshapen(f"it has {len(rows) // size} blocks and at most {self.most} were asked for")
        blocks = [self._block(rows[at : at + size]) for at in range(0, len(rows), size)]
        whole = [b for b in blocks if not any(_breaks_off(b[v.key], v.longest) for v in self.values if not v.words)]
        if not whole:
            raise AnswerMisshapen("every block breaks off where the form was full")
        return whole

    def _block(self, rows: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for value, row in zip(self.values, rows, strict=True):
            match = re.match(rf"{re.escape(value.label)}\s*[:：]\s*(\S.*)", row, re.IGNORECASE)
            if match is None:
                raise AnswerMisshapen(f"{row[:60]!r} is no '{value.label}: ...'")
            text = match[1].strip()
            if value.words:
                known = {word.casefold(): meaning for word, meaning in value.words.items()}
                if text.casefold().rstrip(".。") not in known:
                    raise AnswerMisshapen(f"{value.label} is {text[:40]!r} and must be one of {', '.join(value.words)}")
                text = known[text.casefold().rstrip(".。")]
            elif len(text) > value.longest:
                raise AnswerMisshapen(f"{value.label} has {len(text)} characters and at most {value.longest} are taken")
            found[value.key] = text
        return found


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One thing said and what the character replied."""

    said: str
    reply: str


@dataclass(frozen=True, slots=True)
class Talk:
    """A dialogue in which ``other`` and ``own`` take turns, each line with its name in front.

    ``opened``: what ``other`` has said already; the answer begins with ``own``.
    """

    repeats: ClassVar[bool] = True
    own: str
    other: str
    most: int
    opened: str = ""

    @property
    def grammar(self) -> str:
        own, other = (f"{_quoted(f'{name}: ')} text {_quoted(chr(10))}" for name in (self.own, self.other))
        more = self.most - 1
        root = f"root ::= own pair{{0,{more}}}" if self.opened else f"root ::= pair{{1,{self.most}}}"
        return f'{root}\npair ::= other own\nown ::= {own}\nother ::= {other}\ntext ::= sentence (" "? sentence){{0,2}}\n{_SENTENCE}'

    @property
    def shown(self) -> str:
        return f"{self.own}: ..." if self.opened else f"{self.other}: ...\n{self.own}: ..."

    def read(self, answer: str, *, finished: bool) -> list[Exchanged]:
        """The exchanges up to the first line of anybody else; lines that one speaker says on end are one.

        Raises:
            AnswerMisshapen: it does not begin with the asked speaker, or no reply of the character is whole.
        """
        rows = [row.strip() for row in answer.splitlines() if row.strip()]
        if not finished:
            rows = rows[:-1]
        turns: list[tuple[bool, str]] = [(False, self.opened)] if self.opened else []
        pattern = re.compile(rf"(?:(?P<own>{re.escape(self.own)})|{re.escape(self.other)})\s*[:：]\s*(?P<text>\S.*)", re.IGNORECASE)
        for row in rows:
            match = pattern.fullmatch(row)
            if match is None:
                break
            own, text = match["own"] is not None, _unquoted(match["text"])
            if turns and turns[-1][0] == own:
                turns[-1] = (own, f"{turns[-1][1]} {text}")
            else:
                turns.append((own, text))
        if turns and turns[0][0]:
            raise AnswerMisshapen(f"it begins with {self.own}, and {self.other} speaks first")
        pairs = [Exchanged(said[1], reply[1]) for said, reply in zip(turns[::2], turns[1::2], strict=False)]
        if not pairs:
            raise AnswerMisshapen(f"it has no line of the form '{self.own}: ...' where one belongs")
        return pairs[: self.most]


@dataclass(frozen=True, slots=True)
class Speech:
    """A few sentences in one paragraph, and then an end: what a small model does not find by itself.

    Only the grammar holds a teacher to it; a reader who refused more would refuse what a better teacher has to say.
    """

    repeats: ClassVar[bool] = False
    sentences: int = 3

    @property
    def grammar(self) -> str:
        return f'root ::= sentence (" "? sentence){{0,{self.sentences - 1}}}\n{_SENTENCE}'

    def read(self, answer: str, *, finished: bool) -> list[str]:
        """Never raises: the filters judge what is said."""
        return [answer.strip()]


Form = Blocks | Talk | Speech
SPEECH = Speech()


def _breaks_off(text: str, longest: int) -> bool:
    """Whether the grammar ended it: it fills the form, a space more or less, and its sentence has no end."""
    return longest - 2 <= len(text) <= longest and not re.search(r"[.!?。！？…][\"”’」)]?$", text)


def _unquoted(text: str) -> str:
    """A line without the quotation marks around all of it."""
    return text[1:-1].strip() if len(text) > 2 and (text[0], text[-1]) in (('"', '"'), ("“", "”"), ("「", "」")) else text


def _text(longest: int) -> str:
    return rf"[^\n\r \t] [^\n\r]{{1,{longest - 1}}}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
