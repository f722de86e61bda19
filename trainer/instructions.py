"""Lists of instructions that characters answer: our own beside this module, or an operator's."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.characters.cast import Character
from trainer.errors import SourceRefused

INSTRUCTIONS = Path(__file__).with_name("general_instructions.jsonl")
KINDS = ("open", "commonsense", "knowledge")


@dataclass(frozen=True, slots=True)
class Instruction:
    id: str
    kind: str
    language: str
    text: str


def read_instructions(path: Path) -> list[Instruction]:
    """A list of instructions. Raises ``SourceRefused`` with file and line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceRefused(f"{path.name}: cannot be read as UTF-8 text ({error}); check the path") from error
    found: dict[str, Instruction] = {}
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            one = Instruction(str(row["id"]), str(row["kind"]), str(row["language"]), str(row["instruction"]).strip())
        except (ValueError, KeyError, TypeError) as error:
            raise SourceRefused(f'{path.name}:{place}: is no {{"id", "kind", "language", "instruction"}} object ({error})') from error
        if one.kind not in KINDS or not one.text or one.id in found:
            raise SourceRefused(f"{path.name}:{place}: needs an id of its own, a text, and a kind of {', '.join(KINDS)}")
        found[one.id] = one
    if not found:
        raise SourceRefused(f"{path.name}: holds no instruction")
    return list(found.values())


def deal(
    instructions: Sequence[Instruction], cast: Sequence[Character], *, seed: int, answers: int, limit: int
) -> list[tuple[Instruction, Character]]:
    """Who answers what: each instruction goes to several characters of its language, everybody gets as many as the others.

    Raises:
        SourceRefused: nobody speaks their language.
    """
    dealt: list[tuple[Instruction, Character]] = []
    for language in sorted({i.language for i in instructions}):
        speakers = [c for c in cast if (c.settings.languages[:1] or ("en",)) == (language,)]
        chosen = [i for i in instructions if i.language == language]
        random.Random(f"{seed}/{language}").shuffle(chosen)
        chosen = chosen[: limit or None]
        each = min(answers, len(speakers))
        dealt += [(instruction, speakers[(n * each + k) % len(speakers)]) for n, instruction in enumerate(chosen) for k in range(each)]
    if not dealt:
        raise SourceRefused("no character speaks a language that the instructions are written in; check their cards' languages")
    return dealt
