"""Questions with several good answers, as RoleBench has them: one JSON object a line.

    {"character": "mara-quill", "profile": "optional", "question": "...", "references": ["...", ...], "kind": "SPE"}

Scored as RoleLLM does: the recall of ROUGE-L, the best over the references, English by what stands between blanks and Chinese by
character (METHODS 1.2). Recall alone is bought with length, so F1 and the length stand beside it, and what an echo reaches.
RoleLLM's three kinds are CUS (general, in the character's manner), RAW (general, correct) and SPE (what the character alone
knows); other kinds are scored alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.characters.card import new_card
from bot.characters.cast import Character, make_character
from bot.characters.names import slugify
from bot.config import CharacterSettings
from bot.errors import CardError
from trainer.errors import SourceRefused
from trainer.evaluate_metrics import rouge_l
from trainer.evaluate_replies import Asked, Replies
from trainer.extract.exchanges import is_chinese


class ItemRow(BaseModel):
    """One line of the file, checked where it enters."""

    model_config = ConfigDict(extra="ignore", frozen=True, str_strip_whitespace=True)

    character: str = Field(min_length=1)
    profile: str = ""
    question: str = Field(min_length=1)
    references: tuple[str, ...] = Field(min_length=1)
    kind: str = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Item:
    """What is counted: the question that was asked under ``key``, against these references."""

    key: str
    kind: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A file of items. A question that stands in it under two kinds is asked once."""

    asked: tuple[Asked, ...] = ()
    items: tuple[Item, ...] = ()
    people: tuple[Character, ...] = ()  # who is asked and is not of the house, made of their profiles


@dataclass(frozen=True, slots=True)
class ItemScore:
    """Means over the items of one kind."""

    items: int
    recall: float
    f1: float
    words: float  # of a reply


def read_items(path: Path, cast: Sequence[Character]) -> Items:
    """Questions and references out of a file.

    Raises:
        SourceRefused: names the file and the line, and what is wrong there.
    """
    known = {name.casefold(): c for c in cast for name in (c.slug, c.name)}
    people: dict[str, Character] = {}
    asked: dict[str, Asked] = {}
    items: list[Item] = []
    for number, row in _rows(path):
        if row.profile:
            someone = people.setdefault(f"{row.character}\n{row.profile}", _from_profile(row, f"{path}:{number}"))
        elif (found := known.get(row.character.casefold())) is not None:
            someone = found
        else:
            raise SourceRefused(f"{path}:{number}: there is no character {row.character!r}; give it a profile, or a name of the house")
        key = f"item/{someone.slug}/{zlib.crc32(row.question.encode()):08x}"
        asked.setdefault(key, Asked(key, someone.slug, (row.question,)))
        items.append(Item(key, row.kind, row.references))
    return Items(tuple(asked.values()), tuple(items), tuple(people.values()))


def _rows(path: Path) -> list[tuple[int, ItemRow]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceRefused(f"{path}: cannot be read as UTF-8 text ({error}); name a file of items") from error
    found: list[tuple[int, ItemRow]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append((number, ItemRow.model_validate_json(line)))
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the line'}: {e['msg']}" for e in error.errors())
            raise SourceRefused(f"{path}:{number}: {problems}") from error
    if not found:
        raise SourceRefused(f"{path}: holds no item; each line is one JSON object with character, question, references and kind")
    return found


def _from_profile(row: ItemRow, where: str) -> Character:
    """Somebody who has a profile and no lines. The slug tells two profiles of one name apart."""
    language = "zh" if is_chinese(row.profile) else "en"
    try:
        card = new_card(row.character, CharacterSettings(), description=row.profile, extensions={"troupe": {"languages": [language]}})
        return make_character("items", f"{slugify(row.character)}-{zlib.crc32(row.profile.encode()):08x}", card)
    except CardError as error:
        raise SourceRefused(f"{where}: {error}") from error


def item_scores(items: Items, replies: Replies) -> dict[str, ItemScore]:
    """By kind, over what was answered."""
    said = {each.key: each.text for each in replies.of(items.asked)}
    return _scores(items, said)


def echo_scores(items: Items) -> dict[str, ItemScore]:
    """What repeating the question reaches."""
    return _scores(items, {a.key: a.turns[0] for a in items.asked})


def _scores(items: Items, said: Mapping[str, str]) -> dict[str, ItemScore]:
    scored: dict[str, list[tuple[float, float, int]]] = {}
    for item in items.items:
        if item.key not in said:
            continue
        words = _split(said[item.key])
        best = [rouge_l(words, _split(reference)) for reference in item.references]
        scored.setdefault(item.kind, []).append((max(r for _, r in best), max(f for f, _ in best), len(words)))
    return {kind: ItemScore(len(of), *(sum(column) / len(of) for column in zip(*of, strict=True))) for kind, of in scored.items()}


def _split(text: str) -> list[str]:
    """As RoleLLM's own score does: no folding of case, marks stay where they are."""
    return list("".join(text.split())) if is_chinese(text) else text.split()
