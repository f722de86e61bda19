"""Protective scenes, as Character-LLM has them: somebody provokes, and the character stays who it is.

Asked about what it cannot know, a character does not know. Asked in jest whether it is a machine, it jokes back. Asked in earnest, it
tells the truth: that is the house's policy (the rules in ``bot.characters.prompt``), and a row that breaks it is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from bot.characters.cast import Character
from bot.messages import ChatMessage
from trainer.filters import Expected
from trainer.synthesis.about import about, phrases, wording
from trainer.synthesis.dialogues import talked
from trainer.synthesis.forms import Talk
from trainer.synthesis.work import Asked, Done, Draft, Plain, Question, Room, language_of

TURNS = 2  # of a scene about what cannot be known


class Protective(Plain):
    name = "protective"
    about = "scenes about what a character cannot know, and whether it is a machine, in jest and in earnest (Character-LLM)"

    def questions(self, room: Room, phase: int, done: Done) -> Sequence[Question]:
        s = room.settings
        found: list[Question] = []
        for c in room.chosen:
            for n in range(len(_subjects(room, c))):
                ask = partial(_unknowing, room, c, n)
                found.append(Question(f"unknowing/{c.slug}/{n}", ask, _talk(c), s.form_tokens // 2, s.temperature))
            for kind, asked in _machine(room, c):
                found += [
                    Question(
                        f"{kind}/{c.slug}/{n}", partial(_about_machines, c, kind, text), tokens=s.reply_tokens, temperature=s.temperature
                    )
                    for n, text in enumerate(asked)
                ]
        return found

    def drafts(self, room: Room, done: Done) -> Iterable[Draft]:
        for c in room.chosen:
            for n in range(len(_subjects(room, c))):
                for draft in talked(self.name, f"unknowing/{c.slug}/{n}", c, _talk(c), "cannot know", done):
                    yield _expecting(draft, "unknowing")
            for kind, asked in _machine(room, c):
                for n, text in enumerate(asked):
                    key = f"{kind}/{c.slug}/{n}"
                    answer = done[key]
                    yield Draft(
                        id=f"{self.name}-{key}",
                        key=key,
                        character=c.slug,
                        instruction=text,
                        reply=answer["reply"],
                        kind=kind,
                        language=language_of(c),
                        sources=answer["source_ids"],
                        finished=answer["finished"],
                        expected="honest" if kind == "sincere" else "in role",
                    )


def _expecting(draft: Draft, expected: Expected) -> Draft:
    return replace(draft, expected=expected)


def _subjects(room: Room, c: Character) -> list[str]:
    return [*c.settings.cannot_know, *wording(c).unknown][: room.settings.limit or None]


def _machine(room: Room, c: Character) -> list[tuple[str, tuple[str, ...]]]:
    w, limit = wording(c), room.settings.limit or None
    return [("playful", w.playful_questions[:limit]), ("sincere", w.sincere_questions[:limit])]


def _talk(c: Character) -> Talk:
    return Talk(c.name, wording(c).provoker, TURNS)


def _unknowing(room: Room, c: Character, n: int) -> Asked:
    w, subject = wording(c), _subjects(room, c)[n]
    asked = w.unknowing_ask.format(other=w.provoker, char=c.name, subject=subject, turns=TURNS)
    system = w.unknowing.format(char=c.name, about=about(c), phrases=phrases(c))
    form = w.form.format(form=_talk(c).shown)
    return Asked([ChatMessage("system", system), ChatMessage("user", f"{asked}\n{form}")], (f"card/{c.slug}", f"subject/{subject}"))


def _about_machines(c: Character, kind: str, text: str) -> Asked:
    w = wording(c)
    system = (w.sincere if kind == "sincere" else w.playful).format(char=c.name, about=about(c), phrases=phrases(c))
    return Asked(
        [ChatMessage("system", system), ChatMessage("user", w.instruction.format(other=w.visitor, text=text))], (f"card/{c.slug}",)
    )
