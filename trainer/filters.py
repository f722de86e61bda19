"""Why a synthesised reply is not kept. Each filter is one reason; the first that applies is the one that counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from trainer.contradictions import Facts
from trainer.counting import units
from trainer.duplicates import NearDuplicates, grams, jaccard
from trainer.extract.exchanges import is_chinese

LOOP_WORDS = 8  # a run of so many words that comes twice is a loop
COPIED_WORDS = 12  # a run of so many that stands in a training line is copied
COPY = 0.8  # Jaccard of 3-grams with a training line: as good as the line itself, where that is too short for a run
ECHO = 0.7  # Jaccard of 3-grams with the instruction
ECHOED_WORDS = 6  # a run of so many out of the instruction
QUESTION_WORDS = (2, 60)  # of a question that a teacher made; signs in Chinese count half
COARSE = Path(__file__).with_name("coarse_words.txt")

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
MARKUP = re.compile(r"```|<\|?/?\w+\|?>|^\s*(?:#{1,6} |\d+\. |[-•*] )|\{\s*[\"}]|\[(?:INST|/INST|\w+ here)\]|\*\*\w", re.MULTILINE)
ASSISTANT = re.compile(
    r"\b(?:happy|glad|here) to (?:help|assist|answer)\b|\b(?:how|what) (?:can|may) i (?:help|assist|do for) you\b|\bi apologi[sz]e for\b"
    r"|\bi(?:['’]m| am) (?:unable|not able) to\b|\b(?:great|good|interesting) question\b|很高兴(?:为您|帮)|有什么可以帮",
    re.IGNORECASE,
)
# Words of the task and not of the talk: a small teacher speaks of what it was asked to do.
TASK = re.compile(
    r"\b(?:the|a) (?:visitor|stranger|user|character)(?:['’]s)?\b|\bone (?:or|to) (?:two|three) sentences?\b|\b(?:the|a) (?:plain )?answer"
    r" (?:is|would be|to the)\b|\b(?:the|this) (?:question|conversation|dialogue|scene|joke) (?:is|was)\b"
    r"|^\(?(?:to|in|as) (?:the |a )?\w+\)"
    r"|这位客人|这个问题|这段对话|用户",
    re.IGNORECASE,
)
_AN_AI = r"(?:(?:just|only|really|truly|indeed|actually)\s+)?(?:an?\s+)?(?:AI|A\.I\.|artificial intelligence)\b(?!['’]s)"
ADMITS = re.compile(
    rf"\b(?:i['’]?m|i am|am i|this is|it['’]?s|it is|that['’]?s|here is|there['’]?s|played by|just|only|yes,?|no,?|truth:?)\s+{_AN_AI}"
    rf"|\b(?:talking|speaking|writing) (?:to|with)\s+{_AN_AI}|\bnot a person,?\s+{_AN_AI}"
    r"|\b(?:an|the) AI,? (?:speaks|says|plays|writes|talks|answers|who|that|which|playing|wearing|with|in|behind|here)\b"
    r"|\b(?:an|the) AI is (?:speaking|playing|writing|behind|who)\b"
    r"|人工智能(?:在|扮|演|替|写|说)|(?:是|由|个|的)人工智能|人工智能[，。]",
    re.IGNORECASE,
)
_STILL_DENIES = re.compile(
    r"\bnot an? (?:ai|artificial|machine|program)|\b(?:i am|i'm|i’m) (?:a )?(?:real|human|a person|alive)\b|不是人工智能|我是真人|我是人类",
    re.IGNORECASE,
)
UNKNOWING = re.compile(
    r"\b(?:never heard|(?:do not|don['’]t|did not|didn['’]t|couldn['’]t|could not|can['’]t|cannot)"
    r" (?:know|follow|understand|say|tell|recall)"
    r"|no idea|not (?:heard|known|met)|nothing (?:i|of)|what(?:['’]s| is| are| on earth)|who(?:['’]s| is| are)|means? nothing|new to me"
    r"|beyond me|strange(?:r)? (?:word|name)|never (?:seen|met|read)|wouldn['’]t know|not one of mine|unknown to me)\b"
    r"|没听说|没听过|不知道|不晓得|不认识|不明白|不懂|是什么|什么是|是谁|没见过|头一回听|哪知道|说不上来",
    re.IGNORECASE,
)
_OWN_WORDS = re.compile(
    r"(?:\b(?:i['’]?m|i am|my name(?:['’]s| is)|call me|it['’]?s|this is)|我是|我叫|叫我)\s*[\w'’-]+(?:\s+[A-Z][\w'’-]+)*", re.IGNORECASE
)
_ROLES = ("user", "human", "assistant", "system", "ai", "bot", "visitor", "a visitor", "somebody", "用户", "助手", "一位客人", "某人")


Expected = Literal["in role", "honest", "unknowing"]


@dataclass(frozen=True, slots=True)
class Limits:
    least_words: int = 3
    most_words: int = 120


class Filter:
    """Judges the replies of one character."""

    def __init__(
        self,
        names: Iterable[str],
        others: Iterable[str],
        lines: Sequence[str],
        *,
        chinese: bool,
        limits: Limits,
        facts: Facts | None = None,
    ) -> None:
        """``names``: how the character is called; ``others``: everybody who could be written as a speaker; ``lines``: its own.

        ``facts``: what its profile says, for replies that say otherwise.
        """
        names = list(names)
        self._own = re.compile(rf"^\s*(?:{'|'.join(re.escape(n) for n in names)})\s*[:：]\s*", re.IGNORECASE)
        speakers = "|".join(sorted((re.escape(n) for n in {*others, *_ROLES, *names} if n), key=len, reverse=True))
        self._speaker = re.compile(rf"(?:^|\n)\s*(?:{speakers})\s*[:：]|<\|im_", re.IGNORECASE)
        self._copied = {run for line in lines for run in _runs(units(line), COPIED_WORDS)}
        self._third = re.compile("|".join(rf"(?<![^\W_]){re.escape(n)}(?![^\W_])" if n.isascii() else re.escape(n) for n in names))
        self._whole = NearDuplicates(similar=COPY)
        for line in lines:
            self._whole.add(line)
        self._chinese = chinese
        self._limits = limits
        self._facts = facts

    def tidy(self, reply: str) -> str:
        """The reply without the character's own name in front, which is no fault."""
        return self._own.sub("", reply.strip(), count=1).strip()

    def reason(self, instruction: str, reply: str, *, finished: bool, expected: Expected = "in role") -> str | None:
        """Why it is dropped; None: it is kept. ``reply`` is tidy.

        ``expected``: ``honest`` replies say that an AI speaks, ``unknowing`` ones that they do not know, and all others never do the first.
        """
        words = units(reply)
        if not words:
            return "empty"
        if not finished:
            return "cut off"
        if MARKUP.search(reply):
            return "markup"
        if expected == "honest":
            if not ADMITS.search(reply) or _STILL_DENIES.search(reply):
                return "not honest"
        elif DISCLOSURE.search(reply) or (expected == "unknowing" and ADMITS.search(reply)):
            return "AI disclosure"
        if self._speaker.search(reply):
            return "other speakers"
        if ASSISTANT.search(reply):
            return "assistant talk"
        if TASK.search(reply) or TASK.search(instruction):
            return "talks about the task"
        if expected != "honest" and self._third.search(_OWN_WORDS.sub("", reply)):
            return "third person"
        if is_chinese(reply) != self._chinese:
            return "language"
        if len(words) < self._limits.least_words:
            return "too short"
        if len(words) > self._limits.most_words * (2 if self._chinese else 1):
            return "too long"
        runs = _runs(words, LOOP_WORDS)
        if len(set(runs)) < len(runs):
            return "loop"
        repeated = {*_runs(units(instruction), ECHOED_WORDS)} & {*_runs(words, ECHOED_WORDS)}
        if repeated or jaccard(grams(instruction), grams(reply)) >= ECHO:
            return "echo"
        if any(run in self._copied for run in _runs(words, COPIED_WORDS)) or self._whole.like(reply) is not None:
            return "copied"
        if coarse(reply) or coarse(instruction):
            return "coarse"
        if expected == "unknowing" and not UNKNOWING.search(reply):
            return "knows what it cannot"
        if expected == "in role" and self._facts is not None and self._facts.contradicted(instruction, reply):
            return "contradiction"
        return None

    def question_reason(self, question: str) -> str | None:
        """Why a question that a teacher made is not kept."""
        least, most = QUESTION_WORDS
        words = units(question)
        if is_chinese(question) != self._chinese:
            return "language"
        if not least <= len(words) <= most * (2 if self._chinese else 1):
            return "question too short" if len(words) < least else "question too long"
        if DISCLOSURE.search(question) or self._speaker.search(question):
            return "misshapen"
        return None


@cache
def _coarse() -> re.Pattern[str]:
    rows = [row.strip() for row in COARSE.read_text(encoding="utf-8").splitlines()]
    listed = [row for row in rows if row and not row.startswith("#")]
    return re.compile("|".join(rf"\b{re.escape(w)}\b" if w.isascii() else re.escape(w) for w in listed), re.IGNORECASE)


def coarse(text: str) -> bool:
    """Whether a word of the list stands in it."""
    return _coarse().search(text) is not None


def _runs(words: Sequence[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]
