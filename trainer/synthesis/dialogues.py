"""Dialogues out of retrieved scenes, as ChatHaruhi makes them (METHODS 1.1).

First questions: whatever was said right before a line of the character, and new ones that a teacher thinks of from examples. Then
each is answered after the scenes that fit it, every scene split at the character's first line into what a user said and what an
assistant answered, so that the teacher goes on the same way, often for several turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from bot.characters.cast import Character
from bot.characters.prompt import clean
from bot.messages import ChatMessage
from bot.retrieval.scenes import FoundScene, SceneIndex, within
from trainer.asking import AnswerMisshapen
from trainer.duplicates import NearDuplicates
from trainer.synthesis.about import about, drawn, filled, spoken, wording
from trainer.synthesis.context import ungraded
from trainer.synthesis.forms import Talk
from trainer.synthesis.work import Asked, Done, Draft, Plain, Question, Room, language_of

EXAMPLES = 6  # exchanges that show what people say to the character
FOUND = 19  # scenes that are looked at for one question


class Dialogues(Plain):
    name = "dialogues"
    about = "questions from what precedes the character's lines and new ones, each continued after retrieved scenes (ChatHaruhi)"
    phases = 2

    def questions(self, room: Room, phase: int, done: Done) -> Sequence[Question]:
        s = room.settings
        if phase == 0:
            return [
                Question(f"questions/{c.slug}/{n}", partial(_more, room, c, n), ungraded(c, s.questions), s.form_tokens, s.temperature)
                for c in room.chosen
                for n in range(s.takes)
            ]
        found: list[Question] = []
        for c in room.chosen:
            index = SceneIndex(c.lines)
            for n, (said, source) in enumerate(self._said(room, c, done)):
                talk = _talk(c, said, s.turns)
                ask = partial(_continue, room, c, index, said, source)
                found.append(Question(f"dialogue/{c.slug}/{n}", ask, talk, s.form_tokens // 2, s.temperature))
        return found

    def later(self, room: Room) -> int:
        s = room.settings
        return sum(min(len(c.lines) + s.takes * s.questions, s.limit or 10**9) for c in room.chosen)

    def _said(self, room: Room, c: Character, done: Done) -> list[tuple[str, str]]:
        """What people say to the character, with where it comes from; nothing twice, new things and known ones in turn."""
        known = [(clean(filled(e.said, c), one_line=True), e.id) for e in c.lines]
        new: list[tuple[str, str]] = []
        for n in range(room.settings.takes):
            key = f"questions/{c.slug}/{n}"
            answer = done[key]
            try:
                blocks = ungraded(c, 99).read(answer["reply"], finished=answer["finished"])
            except AnswerMisshapen:
                continue
            new += [(block["question"], f"{key}/{i}") for i, block in enumerate(blocks)]
        seen = NearDuplicates()
        kept: list[tuple[str, str]] = []
        for one, source in _in_turn(new, drawn_pairs(room, c, known)):
            if seen.like(one) is None:
                seen.add(one)
                kept.append((one, source))
        return kept[: room.settings.limit or None]

    def drafts(self, room: Room, done: Done) -> Iterable[Draft]:
        for c in room.chosen:
            for n in range(room.settings.takes):
                key = f"questions/{c.slug}/{n}"
                if done[key].get("wrong"):
                    yield _misshapen(self.name, key, c, "questions", done)
            for n, (said, _) in enumerate(self._said(room, c, done)):
                key = f"dialogue/{c.slug}/{n}"
                yield from talked(self.name, key, c, _talk(c, said, room.settings.turns), "dialogue", done)


def talked(method: str, key: str, c: Character, talk: Talk, kind: str, done: Done) -> Iterable[Draft]:
    """The exchanges of a dialogue as drafts, one after the other."""
    answer = done[key]
    try:
        pairs = talk.read(answer["reply"], finished=answer["finished"])
    except AnswerMisshapen:
        yield _misshapen(method, key, c, kind, done)
        return
    for turn, pair in enumerate(pairs):
        yield Draft(
            id=f"{method}-{key}/{turn}",
            key=key,
            character=c.slug,
            instruction=pair.said,
            reply=pair.reply,
            kind=kind,
            language=language_of(c),
            sources=answer["source_ids"],
            dialogue=f"{method}-{key}",
            more={"turn": turn, "with": talk.other},
        )


def _misshapen(method: str, key: str, c: Character, kind: str, done: Done) -> Draft:
    answer = done[key]
    more = {"wrong": answer.get("wrong", "")}
    return Draft(
        f"{method}-{key}", key, c.slug, "", answer["reply"], kind, language_of(c), answer["source_ids"], fault="misshapen", more=more
    )


def drawn_pairs(room: Room, c: Character, known: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    by_id = {source: said for said, source in known}
    return [(by_id[e.id], e.id) for e in drawn(room, c.lines, len(c.lines), "said", c.slug)]


def _in_turn(one: Sequence[tuple[str, str]], other: Sequence[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    for i in range(max(len(one), len(other))):
        yield from one[i : i + 1]
        yield from other[i : i + 1]


def _talk(c: Character, said: str, turns: int) -> Talk:
    return Talk(c.name, wording(c).visitor, turns, opened=said)


def _more(room: Room, c: Character, n: int) -> Asked:
    w, form = wording(c), ungraded(c, room.settings.questions)
    shown = drawn(room, c.lines, EXAMPLES, "more", c.slug, n)
    examples = form.written([{"question": filled(e.said, c), "answer": filled(e.reply, c)} for e in shown])
    asked = w.more_questions_ask.format(char=c.name, count=room.settings.questions, examples=examples)
    system = w.more_questions.format(char=c.name, about=about(c))
    return Asked([ChatMessage("system", system), ChatMessage("user", f"{asked}\n{w.form.format(form=form.shown)}")], [e.id for e in shown])


def _continue(room: Room, c: Character, index: SceneIndex, said: str, source: str) -> Asked:
    w = wording(c)
    budget = min(room.settings.scene_tokens, max(room.context_tokens - room.settings.form_tokens - 1200, 0))
    # The scene that the question comes from would hand the teacher the answer.
    found = index.search(said, FOUND, without=frozenset({source}))
    kept = within(found, lambda scene: room.count(_text(c, scene)), budget)
    turns: list[ChatMessage] = []
    for scene in reversed(kept):  # the nearest stands last
        left, _, right = _text(c, scene).partition(f"\n{c.name}: ")
        turns += [ChatMessage("user", left), ChatMessage("assistant", f"{c.name}: {right}")]
    last = ChatMessage("user", w.continue_scene.format(other=w.visitor, said=said))
    system = ChatMessage("system", w.scenes.format(char=c.name, about=filled(c.card.description, c)))
    ids = [c.lines[at].id for scene in kept for at in scene.positions]
    return Asked([system, *turns, last], [source, *ids])


def _text(c: Character, scene: FoundScene) -> str:
    return "\n".join(spoken(c.lines[at], c) for at in scene.positions)
