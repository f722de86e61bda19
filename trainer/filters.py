"""Why a synthesised reply is not kept. Each filter is one reason; the first that applies is the one that counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainer.counting import units
from trainer.duplicates import grams, jaccard
from trainer.extract.exchanges import is_chinese

LOOP_WORDS = 8  # a run of so many words that comes twice is a loop
COPIED_WORDS = 12  # a run of so many that stands in a training line is copied
ECHO = 0.7  # Jaccard of 3-grams with the instruction

DISCLOSURE = re.compile(
    "|".join(
        (
            r"\bas an? (?:ai|artificial|language model|assistant)\b",
            r"\bi(?:'m| am|’m) (?:just |only |merely )?an? (?:\w+ )?(?:ai|language model|chatbot|assistant|computer program)\b",
            r"\blarge language model\b|\bopenai\b|\bchatgpt\b|\bmy (?:training data|programming|knowledge cutoff)\b",
            r"\bi (?:do not|don['’]t) have (?:personal |real )?(?:feelings|opinions|emotions|experiences)\b",
            r"人工智能|语言模型|聊天机器人|作为一?个?AI|我是一?个?AI|我的训练数据",
        )
    ),
    re.IGNORECASE,
)
_ROLES = ("user", "human", "assistant", "system", "ai", "bot", "visitor", "a visitor", "somebody", "用户", "助手", "一位客人", "某人")


@dataclass(frozen=True, slots=True)
class Limits:
    least_words: int = 3
    most_words: int = 120


class Filter:
    """Judges the replies of one character."""

    def __init__(self, names: Iterable[str], others: Iterable[str], lines: Sequence[str], *, chinese: bool, limits: Limits) -> None:
        """``names``: how the character is called; ``others``: everybody who could be written as a speaker; ``lines``: its own."""
        self._own = re.compile(rf"^\s*(?:{'|'.join(re.escape(n) for n in names)})\s*[:：]\s*", re.IGNORECASE)
        speakers = "|".join(sorted((re.escape(n) for n in {*others, *_ROLES, *names} if n), key=len, reverse=True))
        self._speaker = re.compile(rf"(?:^|\n)\s*(?:{speakers})\s*[:：]|<\|im_", re.IGNORECASE)
        self._copied = {run for line in lines for run in _runs(units(line), COPIED_WORDS)}
        self._chinese = chinese
        self._limits = limits

    def tidy(self, reply: str) -> str:
        """The reply without the character's own name in front, which is no fault."""
        return self._own.sub("", reply.strip(), count=1).strip()

    def reason(self, instruction: str, reply: str, *, finished: bool) -> str | None:
        """Why it is dropped; None: it is kept. ``reply`` is tidy."""
        words = units(reply)
        if not words:
            return "empty"
        if not finished:
            return "cut off"
        if DISCLOSURE.search(reply):
            return "AI disclosure"
        if self._speaker.search(reply):
            return "other speakers"
        if is_chinese(reply) != self._chinese:
            return "language"
        if len(words) < self._limits.least_words:
            return "too short"
        if len(words) > self._limits.most_words * (2 if self._chinese else 1):
            return "too long"
        runs = _runs(words, LOOP_WORDS)
        if len(set(runs)) < len(runs):
            return "loop"
        if jaccard(grams(instruction), grams(reply)) >= ECHO:
            return "echo"
        if any(run in self._copied for run in _runs(words, COPIED_WORDS)):
            return "copied"
        return None


def _runs(words: Sequence[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]
