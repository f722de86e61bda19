"""New people, as OpenCharacter makes them (METHODS 1.5): they teach a model to read a card that it has never seen.

A line about a person, combined from our own tables, becomes a profile. Every instruction goes to three of them, answered afresh
from the profile (G), and beside it a plain answer, without any manner, that is rewritten in theirs (R).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from bot.characters.card import new_card
from bot.characters.cast import Character, make_character
from bot.characters.lines import Exemplar
from bot.characters.names import slugify
from bot.config import CharacterSettings
from bot.messages import ChatMessage
from trainer.asking import AnswerMisshapen
from trainer.counting import units
from trainer.extract.exchanges import is_chinese, write_character
from trainer.instructions import Instruction, deal
from trainer.synthesis.forms import Blocks, Value
from trainer.synthesis.prompts import words
from trainer.synthesis.work import Asked, Done, Draft, Plain, Question, Room, language_of

TABLES = Path(__file__).with_name("people.json")
PEOPLE = "people"  # the folder of their cards and lines
LEAST_TOLD = 3  # words of a life, a nature, a way of speaking: a small teacher writes "42"
LEAST_ROWS = 4  # dataset takes nobody with fewer
CHINESE_SHARE = 8  # one in so many speaks Chinese, where anybody of the house does
_KEYS = ("age", "origin", "looks", "life", "nature", "speech")


@dataclass(frozen=True, slots=True)
class Persona:
    """Somebody in one line."""

    name: str
    slug: str
    language: str
    line: str

    @property
    def form(self) -> Blocks:
        labels = words(self.language).profile_labels
        return Blocks([Value(k, label, longest=40 if k in ("age", "origin") else 400) for k, label in zip(_KEYS, labels, strict=True)])


@cache
def _tables() -> Mapping[str, Any]:
    tables: Mapping[str, Any] = json.loads(TABLES.read_text(encoding="utf-8"))
    return tables


def personas(count: int, languages: Sequence[str], seed: int) -> list[Persona]:
    """So many different people; no name and no line comes twice."""
    draw, tables = random.Random(f"{seed}/people"), _tables()
    found: list[Persona] = []
    names: dict[str, set[str]] = {"en": set(), "zh": set()}
    lines: set[str] = set()
    while len(found) < count:
        n = len(found)
        language = "zh" if "zh" in languages and (n % CHINESE_SHARE == CHINESE_SHARE - 1 or "en" not in languages) else "en"
        table = tables[language]
        drawn = {part: draw.choice(table[part]) for part in ("first", "last", "trade", "place", "habit", "wish")}
        name = tables["name"][language].format(**drawn)
        line = tables["sentence"][language].format(**drawn)
        if line in lines or (name in names[language] and len(names[language]) < len(table["first"]) * len(table["last"]) // 2):
            continue
        names[language].add(name)
        lines.add(line)
        found.append(Persona(name, f"person-{n + 1:03}-{slugify(name)}"[:60].strip("-"), language, line))
    return found


class People(Plain):
    name = "people"
    about = "new people from one-line personas, each instruction answered by three of them, fresh and rewritten (OpenCharacter)"
    phases = 3

    def questions(self, room: Room, phase: int, done: Done) -> Sequence[Question]:
        s = room.settings
        if phase == 0:
            return [
                Question(f"profile/{p.slug}", partial(_profile, p), p.form, s.form_tokens // 2, s.temperature) for p in self._personas(room)
            ]
        cast = self.cast(room, done)
        if not cast:
            return []
        dealt = _dealt(room, cast)
        if phase == 1:
            plain = {i.id: i for i, _ in dealt}.values()
            fresh = [
                Question(f"fresh/{i.id}/{c.slug}", partial(_fresh, i, c), tokens=s.reply_tokens, temperature=s.temperature)
                for i, c in dealt
            ]
            return [*(Question(f"plain/{i.id}", partial(_plain, i), tokens=s.reply_tokens, temperature=0.3) for i in plain), *fresh]
        return [
            Question(f"rewritten/{i.id}/{c.slug}", partial(_rewrite, i, c, done), tokens=s.reply_tokens, temperature=s.temperature)
            for i, c in dealt
        ]

    def later(self, room: Room) -> int:
        instructions = min(len(room.instructions), (room.settings.limit or 10**9) * 2)
        return instructions * (1 + 2 * room.settings.answers)

    def _personas(self, room: Room) -> list[Persona]:
        languages = sorted({i.language for i in room.instructions} & {language_of(c) for c in room.chosen})
        return personas(room.settings.people, languages, room.settings.seed)

    def cast(self, room: Room, done: Done) -> Sequence[Character]:
        """Those whose profile could be read; their card is that profile and nothing else."""
        found: list[Character] = []
        for p in self._personas(room):
            answer = done.get(f"profile/{p.slug}")
            if answer is None:
                continue
            try:
                told = p.form.read(answer["reply"], finished=answer["finished"])[0]
            except AnswerMisshapen:
                continue
            tells = all(len(units(told[part])) >= LEAST_TOLD for part in ("life", "nature", "speech"))
            if tells and is_chinese("".join(told.values())) == (p.language == "zh"):
                found.append(_character(p, told))
        return found

    def drafts(self, room: Room, done: Done) -> Iterable[Draft]:
        cast = self.cast(room, done)
        speaking = {c.slug for c in cast}
        for p in self._personas(room):
            if p.slug not in speaking:
                key = f"profile/{p.slug}"
                reply = done[key]["reply"]
                yield Draft(f"{self.name}-{key}", key, p.slug, p.line, reply, "profile", p.language, fault="misshapen")
        for i, c in _dealt(room, cast) if cast else ():
            for way in ("fresh", "rewritten"):
                key = f"{way}/{i.id}/{c.slug}"
                answer = done[key]
                yield Draft(
                    id=f"{self.name}-{key}",
                    key=key,
                    character=c.slug,
                    instruction=i.text,
                    reply=answer["reply"],
                    kind=way,
                    language=i.language,
                    sources=(i.id, *answer["source_ids"]),
                    finished=answer["finished"],
                )

    def write(self, room: Room, done: Done, kept: Sequence[Mapping[str, Any]], into: Path) -> Mapping[str, Any]:
        """A folder for everybody who says enough to be learnt from."""
        written = 0
        for character in self.cast(room, done):
            rows = [r for r in kept if r["character"] == character.slug]
            if len(rows) < LEAST_ROWS:
                continue
            lines = [Exemplar(r["id"], None, r["instruction"], r["reply"], None, None, "synthesized") for r in rows]
            write_character(into / PEOPLE / character.slug, character.card, lines, ())
            written += 1
        return {"personas": len(self._personas(room)), "profiles": len(self.cast(room, done)), "people_written": written}


def _dealt(room: Room, cast: Sequence[Character]) -> list[tuple[Instruction, Character]]:
    s = room.settings
    return deal(room.instructions, cast, seed=s.seed, answers=s.answers, limit=s.limit)


def _character(p: Persona, told: Mapping[str, str]) -> Character:
    labels = dict(zip(_KEYS, words(p.language).profile_labels, strict=True))
    colon, stop = ("：", "") if p.language == "zh" else (": ", "")
    facts = [f"{labels[k]}{colon}{told[k].rstrip('.。')}{'。' if p.language == 'zh' else '.'}" for k in _KEYS]
    opening = f"{{{{char}}}} is {p.line}" if p.language == "en" else f"{{{{char}}}}，{p.line}"
    card = new_card(
        p.name,
        CharacterSettings(),
        description=f"{opening} {stop.join(facts) if p.language == 'zh' else ' '.join(facts)}",
        creator_notes="Invented for training; answers what nobody of the house would.",
        extensions={"troupe": {"languages": [p.language]}},
    )
    return make_character("house", p.slug, card)


def _profile(p: Persona) -> Asked:
    w = words(p.language)
    asked = f"{w.persona.format(char=p.name, persona=p.line)}\n{w.form.format(form=p.form.shown)}"
    return Asked([ChatMessage("system", w.persona_to_profile), ChatMessage("user", asked)], (f"persona/{p.slug}",))


def _who(c: Character) -> str:
    return c.card.description.replace("{{char}}", c.name)


def _fresh(i: Instruction, c: Character) -> Asked:
    system = words(i.language).generate.format(char=c.name, about=_who(c))
    return Asked([ChatMessage("system", system), ChatMessage("user", i.text)], (f"persona/{c.slug}",))


def _plain(i: Instruction) -> Asked:
    return Asked([ChatMessage("system", words(i.language).plain), ChatMessage("user", i.text)])


def _rewrite(i: Instruction, c: Character, done: Done) -> Asked:
    w = words(i.language)
    asked = w.rewrite_ask.format(question=i.text, answer=" ".join(done[f"plain/{i.id}"]["reply"].split()))
    system = w.rewrite.format(char=c.name, about=_who(c))
    return Asked([ChatMessage("system", system), ChatMessage("user", asked)], (f"persona/{c.slug}", f"plain/{i.id}"))
