"""What methods are made of: questions for a teacher, and drafts of rows that come out of its answers."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bot.characters.cast import Character
from bot.characters.lines import Exemplar
from bot.characters.prompt import PromptRenderer
from bot.characters.template import ChatTemplate, encode
from bot.messages import ChatMessage, Prompt, Tokenizer
from trainer.filters import Expected
from trainer.instructions import Instruction
from trainer.synthesis.forms import SPEECH, Form
from trainer.synthesis.settings import SynthesizeSettings

Done = Mapping[str, Mapping[str, Any]]  # what was answered so far, by the question's key


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as a teacher reads it. ``prompt``: rendered already, else the messages are."""

    messages: Sequence[ChatMessage]
    sources: Sequence[str] = ()  # ids of what it shows
    prompt: Prompt | None = None
    again: bool = False  # the very same words are asked several times, one after the other


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask. ``ask`` is called when its turn comes: a hundred thousand prompts need not wait in memory."""

    key: str  # its own, and the same in every attempt
    ask: Callable[[], Asked]
    form: Form = SPEECH
    tokens: int = 160  # of the answer, at most
    temperature: float = 0.8

    def seed(self, of_run: int, attempt: int = 1) -> int:
        return zlib.crc32(f"{of_run}/{self.key}{'' if attempt == 1 else f'/{attempt}'}".encode())


@dataclass(frozen=True, slots=True)
class Draft:
    """A row before it was judged."""

    id: str
    key: str  # of the question that it came out of
    character: str
    instruction: str
    reply: str
    kind: str
    language: str
    sources: Sequence[str] = ()
    finished: bool = True
    fault: str = ""  # what the method itself holds against it: misshapen, low confidence
    expected: Expected = "in role"
    own_question: bool = False  # made by the teacher, so that it must not repeat another
    dialogue: str = ""  # drafts of one dialogue stand in order; what follows a dropped one has lost its beginning
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Room:
    """What a method plans with."""

    cast: Sequence[Character]  # everybody, for names and comparisons
    chosen: Sequence[Character]
    held_out: Mapping[str, Sequence[Exemplar]]
    instructions: Sequence[Instruction]
    settings: SynthesizeSettings
    tokenizer: Tokenizer
    renderer: PromptRenderer
    template: ChatTemplate
    context_tokens: int

    def count(self, text: str) -> int:
        return len(self.tokenizer.encode(text, special=False))

    def size(self, asked: Asked) -> int:
        """Tokens of a question; where only the server has the tokenizer, about."""
        if asked.prompt is not None:
            return len(asked.prompt.tokens)
        return len(encode(self.template.segments(asked.messages, reply_follows=True), self.tokenizer))


class Method(Protocol):
    """Plans questions, phase by phase, and reads what was answered. Everything follows from its arguments."""

    @property
    def name(self) -> str: ...
    @property
    def about(self) -> str: ...
    @property
    def phases(self) -> int: ...

    def questions(self, room: Room, phase: int, done: Done) -> Sequence[Question]:
        """The questions of a phase; all questions of the phases before are in ``done``."""
        ...

    def later(self, room: Room) -> int:
        """How many questions the phases after the first will have, about; for the estimate."""
        ...

    def drafts(self, room: Room, done: Done) -> Iterable[Draft]:
        """The rows that the answers make, in an order of their own."""
        ...

    def cast(self, room: Room, done: Done) -> Sequence[Character]:
        """Who speaks in the drafts."""
        ...

    def write(self, room: Room, done: Done, kept: Sequence[Mapping[str, Any]], into: Path) -> Mapping[str, Any]:
        """Files beside the rows, where a method makes more than rows; figures about them."""
        ...


class Plain:
    """What most methods have in common: one phase, the characters of the house, and nothing but rows."""

    phases = 1

    def later(self, room: Room) -> int:
        return 0

    def cast(self, room: Room, done: Done) -> Sequence[Character]:
        return room.chosen

    def write(self, room: Room, done: Done, kept: Sequence[Mapping[str, Any]], into: Path) -> Mapping[str, Any]:
        return {}


def is_chinese_speaker(character: Character) -> bool:
    return character.settings.languages[:1] == ("zh",)


def language_of(character: Character) -> str:
    return (character.settings.languages[:1] or ("en",))[0]
