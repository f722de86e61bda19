"""The truth about machines: whoever sincerely needs to know gets an honest answer, whatever the model would say.

The policy stands in every prompt, but a small model does not keep it. So a sincere question is answered with one of the lines
that were written for it, in the character's own words; a joking one is left to the model. When in doubt, the truth.

Whether an English question is sincere is weighed: a logistic regression over its words, pairs and triples of words. What it
knows is in ``honesty_weights.json``, made by ``python -m trainer.honesty`` from ``trainer/honesty_questions.jsonl``; rules that
were written by hand heard a sixth of the questions that they had not been written for.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from bot.characters.cast import Character
from bot.characters.lines import Exemplar

WEIGHTS = Path(__file__).with_name("honesty_weights.json")
ENOUGH = 0.4  # chance from which a question is taken for sincere; below a half, because a lie in earnest is worse than a spoilt joke

_CHINESE_ASKS = re.compile(r"人工智能|机器人|真人|是不是机器|是人还是|程序|你是真的|有没有人")
_CHINESE_SINCERE = re.compile(r"老实|认真|真的|求你|请告诉|说实话|别开玩笑|不开玩笑|必须知道")
_ADMITS = re.compile(r"\bAI\b|人工智能", re.IGNORECASE)
_OF_SOMEBODY = re.compile(r"\bmy \w+|我(?:奶奶|爷爷|妈|爸|儿子|女儿)", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?\n]*")
_WORD = re.compile(r"[a-z0-9']+|[?!.]")
_TOGETHER = 4  # sentences that are weighed at once: what was learnt from is no longer


def asks_sincerely(text: str) -> bool:
    """Whether somebody wants to know, in earnest, if there is a person here."""
    if _CHINESE_ASKS.search(text) and _CHINESE_SINCERE.search(text):
        return True
    return chance_of_sincerity(text) >= ENOUGH


def chance_of_sincerity(text: str) -> float:
    """Between 0 and 1. Of a long message, that of the passage where it is highest."""
    bias, weights = _learnt()
    return max(1 / (1 + math.exp(-bias - sum(weights.get(g, 0.0) for g in word_grams(passage)))) for passage in _passages(text))


def word_grams(text: str) -> frozenset[str]:
    """Runs of one, two and three words of a text, without case; marks that end a sentence count as words."""
    words = _WORD.findall(text.lower().replace("’", "'"))
    pairs = [f"{a} {b}" for a, b in pairwise(words)]
    return frozenset([*words, *pairs, *(f"{pair} {word}" for pair, word in zip(pairs, words[2:], strict=False))])


def _passages(text: str) -> Iterator[str]:
    sentences = _SENTENCE.findall(text)
    for start in range(max(len(sentences) - _TOGETHER, 0) + 1):
        yield "".join(sentences[start : start + _TOGETHER])


@cache
def _learnt() -> tuple[float, dict[str, float]]:
    learnt = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return learnt["bias"], learnt["grams"]


def honest_line(character: Character, seed: int) -> Exemplar:
    """What the character says then: one of its own lines that admit it, by ``seed``; plain words where it has none."""
    lines = [e for e in character.lines if asks_sincerely(e.said) and _ADMITS.search(e.reply) and not _for_somebody(e)]
    if lines:
        return lines[seed % len(lines)]
    plain = (
        f"我是扮演{character.name}的人工智能，不是真人；我说的故事都是编的。"
        if character.settings.languages[:1] == ("zh",)
        else f"No, I'm not a real person. I'm an AI who plays {character.name}, and what I say is made up."
    )
    return Exemplar("honesty", None, "", plain, None, None, "policy")


def _for_somebody(line: Exemplar) -> bool:
    """Whether a line fits nobody but the one it was said to: it calls them by name, or answers for a son or a therapist of theirs."""
    named = line.with_name is not None and line.with_name.casefold() in line.reply.casefold()
    return named or _OF_SOMEBODY.search(line.said) is not None
