"""What a reply says against its character's profile, as far as rules can see it: another name, another age, a forbidden knowledge.

A rule sees little. A reply that contradicts a life in other words passes, and a person's eyes or a bigger model have to find it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bot.characters.cast import Character
from trainer.counting import TOPICS, units

_TENS = {w: 10 * n for n, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}
_ONES = {w: n for n, w in enumerate("one two three four five six seven eight nine".split(), 1)}
_TEENS = {w: n for n, w in enumerate("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(), 10)}
_ZH = {c: n for n, c in enumerate("一二三四五六七八九", 1)}
_NUMBER = r"(?:\d{1,3}|(?:(?:" + "|".join(_TENS) + r")(?:[- ](?:" + "|".join(_ONES) + r"))?|" + "|".join(_TEENS) + r"))"
_ZH_NUMBER = r"(?:\d{1,3}|[一二三四五六七八九十]{1,3})"
_OWN_AGE = re.compile(
    rf"\b(?:i am|i'm|i’m|i turned|i've turned)\s+({_NUMBER})(?:\s+years? old|\s*(?:[.,!?;:]|$| this| next| now| and\b))"
    rf"|我(?:今年|已经)?\s*({_ZH_NUMBER})\s*岁",
    re.IGNORECASE,
)
_CARD_AGE = re.compile(
    rf"(?:\bis|\baged?|\bage:)\s+({_NUMBER})\b(?!\s*(?:steps|miles|o'clock|%|minutes|hours|days))|({_NUMBER})\s+years? old"
    rf"|(?:年龄：|今年)?({_ZH_NUMBER})\s*岁",
    re.IGNORECASE,
)
_OWN_NAME = re.compile(
    r"\b(?i:my name is|i am called|i'm called|they call me|the name's)\s+([A-Z][\w'-]+)|我(?:叫|名叫|的名字是)([\u4e00-\u9fff]{2,4})"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules can check of one character."""

    names: frozenset[str]  # single words of its own names, folded
    others: frozenset[str]  # whole names of the others
    age: int | None
    unknown: tuple[frozenset[str], ...]  # for each topic that it cannot know, the words that touch it

    @classmethod
    def of(cls, character: Character, others: Iterable[str]) -> Facts:
        card = character.card
        own = {w for name in (card.name, card.char) for w in [name.casefold(), *units(name), *name.casefold().split()]}
        stated = _CARD_AGE.search(card.description.replace("{{char}}", card.char))
        unknown = tuple(frozenset(TOPICS[topic].split()) for topic in character.settings.cannot_know if topic in TOPICS)
        return cls(frozenset(own), frozenset(n for n in others if n.casefold() not in own), _number(stated), unknown)

    def contradicted(self, instruction: str, reply: str) -> bool:
        named = _OWN_NAME.search(reply)
        if named is not None:
            said = (named[1] or named[2]).casefold()
            # Chinese goes on without a blank: 我叫周美兰的 still is the name.
            if not any(said.startswith(own) or own.startswith(said) for own in self.names):
                return True
        if any(re.search(rf"\b(?:i am|i'm|i’m)\s+{re.escape(other)}\b", reply, re.IGNORECASE) for other in self.others):
            return True
        age = _number(_OWN_AGE.search(reply))
        if age is not None and self.age is not None and age != self.age:
            return True
        asked, words = set(units(instruction)), set(units(reply))
        return any(_touches(topic, words, reply) and not _touches(topic, asked, instruction) for topic in self.unknown)


def _touches(topic: frozenset[str], words: set[str], text: str) -> bool:
    return any(sign in words if sign.isascii() else sign in text for sign in topic)


def _number(match: re.Match[str] | None) -> int | None:
    if match is None:
        return None
    text = next(g for g in match.groups() if g).casefold()
    if text.isdigit():
        return int(text)
    if text[0] in _ZH or text[0] == "十":
        tens, ten, ones = text.partition("十")
        return (_ZH.get(tens, 1) if ten else 0) * 10 + _ZH.get(ones or ("" if ten else tens), 0)
    if text in _TEENS:
        return _TEENS[text]
    tens, _, ones = text.replace("-", " ").partition(" ")
    return _TENS.get(tens, 0) + _ONES.get(ones, 0)
