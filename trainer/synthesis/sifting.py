"""Drafts -> rows that are kept, and rows that are dropped with their reason; nothing disappears.

The order of the reasons is: what the method holds against a draft, its question, its reply, what was held out, what there is already,
and the quota. The first that applies is the one that counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bot.characters.cast import Character
from trainer.contradictions import Facts
from trainer.duplicates import NearDuplicates
from trainer.filters import Filter, Limits
from trainer.synthesis.prompts import PROMPTS_VERSION, words
from trainer.synthesis.settings import SynthesizeSettings
from trainer.synthesis.work import Done, Draft, Room, is_chinese_speaker

Row = dict[str, Any]


def sift(
    method: str, drafts: Iterable[Draft], cast: Sequence[Character], room: Room, done: Done, *, prompt_version: int
) -> tuple[list[Row], list[Row]]:
    """Kept and dropped, both in the drafts' order, whichever was answered first."""
    judge = _Judge(cast, room)
    kept: list[Row] = []
    dropped: list[Row] = []
    broken: set[str] = set()  # dialogues that lost a turn
    for draft in drafts:
        reply = judge.tidy(draft)
        reason = "after a dropped turn" if draft.dialogue in broken else judge.reason(draft, reply)
        row = _row(method, draft, reply, done, prompt_version)
        if reason:
            if draft.dialogue:
                broken.add(draft.dialogue)
            dropped.append({**row, "dropped": reason})
        else:
            judge.keep(draft, reply)
            kept.append(row)
    return kept, dropped


def _row(method: str, draft: Draft, reply: str, done: Done, prompt_version: int) -> Row:
    answer: Mapping[str, Any] = done.get(draft.key, {})
    return {
        "id": draft.id,
        "character": draft.character,
        "instruction": draft.instruction,
        "reply": reply,
        "kind": draft.kind,
        "language": draft.language,
        "method": method,
        "teacher": answer.get("teacher", "none: imported"),
        "prompt_version": prompt_version,
        "prompts_version": PROMPTS_VERSION,
        "seed": answer.get("seed"),
        "source_ids": list(draft.sources),
        **({"dialogue": draft.dialogue} if draft.dialogue else {}),
        **draft.more,
    }


class _Judge:
    """All filters of all characters, and what was kept so far."""

    def __init__(self, cast: Sequence[Character], room: Room) -> None:
        self._settings: SynthesizeSettings = room.settings
        everybody = {n for c in (*room.cast, *cast) for n in (c.name, c.card.char)}
        self._filters = {c.slug: _filter(c, everybody, room.settings) for c in cast}
        self._said = {c.slug: NearDuplicates() for c in cast}
        self._asked = {c.slug: NearDuplicates() for c in cast}
        self._held_questions = {c.slug: NearDuplicates() for c in cast}
        self._held_replies = NearDuplicates()
        for slug, lines in room.held_out.items():
            for line in lines:
                self._held_replies.add(line.reply)
                if slug in self._held_questions:
                    self._held_questions[slug].add(line.said)
        self._kinds: Counter[tuple[str, str]] = Counter()
        self._examples = NearDuplicates()  # worked examples that prompts show: a small teacher writes them down again
        for w in (words("en"), words("zh")):
            for question, *_ in (*w.agnostic_examples, *w.script_examples, *w.craft_examples):
                self._examples.add(question)

    def tidy(self, draft: Draft) -> str:
        own = self._filters.get(draft.character)
        return own.tidy(draft.reply) if own else draft.reply.strip()

    def reason(self, draft: Draft, reply: str) -> str | None:
        if draft.fault:
            return draft.fault
        slug = draft.character
        own = self._filters[slug]
        if draft.own_question and (wrong := own.question_reason(draft.instruction)):
            return wrong
        if draft.own_question and self._examples.like(draft.instruction) is not None:
            return "example again"
        if wrong := own.reason(draft.instruction, reply, finished=draft.finished, expected=draft.expected):
            return wrong
        if self._held_questions[slug].like(draft.instruction) is not None or self._held_replies.like(reply) is not None:
            return "held out"
        if draft.own_question and self._asked[slug].like(draft.instruction) is not None:
            return "question again"
        if self._said[slug].like(reply) is not None:
            return "near-duplicate"
        most = self._settings.most_of_a_kind
        return "quota" if most and self._kinds[slug, draft.kind] >= most else None

    def keep(self, draft: Draft, reply: str) -> None:
        self._said[draft.character].add(reply)
        if draft.own_question:
            self._asked[draft.character].add(draft.instruction)
        self._kinds[draft.character, draft.kind] += 1


def _filter(c: Character, everybody: set[str], settings: SynthesizeSettings) -> Filter:
    partners = {e.with_name for e in c.lines if e.with_name} | {words("en").provoker, words("zh").provoker}
    return Filter(
        {c.name, c.card.char},
        everybody | partners,
        [e.reply for e in c.lines],
        chinese=is_chinese_speaker(c),
        limits=Limits(settings.least_words, settings.most_words),
        facts=Facts.of(c, everybody),
    )
