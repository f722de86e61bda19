"""What a teacher is asked about a character, and how strictly its answers are read. Version 1 of the wording.

The seven attribute groups and three behaviours are CharacterGLM's, the ten emotions RoleCraft's (METHODS 1.3, 1.4); the words are ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.characters.lines import EMOTIONS, Exemplar
from bot.messages import ChatMessage

ASKING_VERSION = 1
STATEMENTS = 4  # at most, of one group
STATEMENT_CHARACTERS = 240

GROUPS = {
    "identity": "who {name} is: age, origin, work, standing",
    "interests": "what {name} likes, collects, does with free hours, and dislikes",
    "viewpoints": "what {name} holds to be true or right, and judges by",
    "experiences": "what has happened to {name}, earlier or in these lines",
    "achievements": "what {name} has managed, won or made",
    "relationships": "how {name} stands with particular other people",
    "others": "anything else about {name} that somebody playing the part must know",
    "linguistic_features": "how {name} speaks: length, choice of words, turns of phrase",
    "emotional_expression": "how {name} shows feelings, and which",
    "interaction_patterns": "how {name} deals with whoever is there: asks, teases, commands, evades, comforts",
}
_EMOTIONS_ZH = {
    "愤怒": "anger",
    "厌恶": "disgust",
    "恐惧": "fear",
    "快乐": "joy",
    "悲伤": "sadness",
    "惊讶": "surprise",
    "中立": "neutral",
    "沮丧": "dejected",
    "兴奋": "excited",
    "其他": "other",
}
_STATEMENT = re.compile(r"^[-*•]\s+(?P<text>\S.*?)\s*\[(?P<numbers>\d+(?:\s*[,，、]\s*\d+)*)\]\s*[.。]?$")
_NOTHING = re.compile(r"^[-*•]?\s*(?:nothing|none|无)\s*[.。]?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that a teacher says of a character. ``ids``: the lines that are said to show it."""

    text: str
    ids: tuple[str, ...]


class AnswerMisshapen(ValueError):
    """An answer that is not in the asked form; says what is wrong with it."""


def group_question(name: str, group: str, lines: Sequence[Exemplar]) -> list[ChatMessage]:
    numbered = "\n".join(f"[{i}] to {e.with_name or 'somebody'}: {_one_line(e.reply)}" for i, e in enumerate(lines, 1))
    return [
        ChatMessage("system", "You read what a character says and write down only what those lines show. You keep exactly to the form."),
        ChatMessage(
            "user",
            f"Lines of {name}, each with its number:\n{numbered}\n\n"
            f"What do they show of {GROUPS[group].format(name=name)}?\n"
            f"Answer with one to {STATEMENTS} lines, each a plain sentence about {name} and, in square brackets, "
            "the numbers of the lines that show it:\n"
            f"- {name} keeps bees behind the school. [3, 11]\n"
            "Write nothing else. If the lines show nothing of it, answer only: - nothing",
        ),
    ]


def repair(messages: Sequence[ChatMessage], answer: str, wrong: str) -> list[ChatMessage]:
    """The same question once more, with what was wrong with the answer."""
    return [
        *messages,
        ChatMessage("assistant", answer or "(nothing)"),
        ChatMessage("user", f"That is not in the asked form: {wrong}. Write the whole answer again, in that form and nothing else."),
    ]


def read_statements(answer: str, lines: Sequence[Exemplar]) -> list[Statement]:
    """Statements with the ids of their lines; an empty list where the teacher found nothing.

    Raises:
        AnswerMisshapen: any line of it is not in the asked form, or points to a line that was not shown.
    """
    rows = [row.strip() for row in answer.splitlines() if row.strip()]
    if not rows:
        raise AnswerMisshapen("it is empty")
    if len(rows) == 1 and _NOTHING.match(rows[0]):
        return []
    if len(rows) > STATEMENTS:
        raise AnswerMisshapen(f"it has {len(rows)} lines and at most {STATEMENTS} were asked for")
    found: list[Statement] = []
    for row in rows:
        match = _STATEMENT.match(row)
        if match is None:
            raise AnswerMisshapen(f"{row[:60]!r} is no '- statement [numbers]'")
        numbers = [int(n) for n in re.findall(r"\d+", match["numbers"])]
        unknown = next((n for n in numbers if not 1 <= n <= len(lines)), None)
        if unknown is not None:
            raise AnswerMisshapen(f"there is no line [{unknown}]")
        if len(match["text"]) > STATEMENT_CHARACTERS:
            raise AnswerMisshapen(f"a statement has {len(match['text'])} characters and at most {STATEMENT_CHARACTERS} are taken")
        found.append(Statement(match["text"], tuple(dict.fromkeys(lines[n - 1].id for n in numbers))))
    return found


def emotion_question(name: str, line: Exemplar) -> list[ChatMessage]:
    return [
        ChatMessage("system", "You name the feeling of a line with one word from a list."),
        ChatMessage(
            "user",
            f"{line.with_name or 'Somebody'} says: {_one_line(line.said)}\n{name} answers: {_one_line(line.reply)}\n\n"
            f"Which word names the feeling of {name}'s answer best? The strongest if there are several, neutral if none is clear. "
            f"Answer with one word: {', '.join(sorted(EMOTIONS))}.",
        ),
    ]


def read_emotion(answer: str) -> str:
    """One of the ten labels, alone. Raises ``AnswerMisshapen`` for anything longer: a reason beside a label is not guessed at."""
    word = answer.strip().strip(".。!\"'“”*").casefold()
    label = _EMOTIONS_ZH.get(word, word)
    if label not in EMOTIONS:
        raise AnswerMisshapen("it is not exactly one of the words")
    return label


def _one_line(text: str) -> str:
    return " ".join(text.split())[:600]
