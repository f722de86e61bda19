"""Stage ``judge``: a third model is shown what the old and the new build answer to the same words, and does not know which is which.

Asked twice about each pair, the replies in both orders: who wins only in one place has not won (position bias). ``judged.json`` has
a score for each pair: 1 the new build won, 0 the old one, 0.5 neither.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.messages import ChatMessage, Sampling
from trainer.evaluate_intervals import Interval, mean
from trainer.manifest import begin
from trainer.retrain_lessons import TEST_CHOSEN
from trainer.samples import read_samples
from trainer.served import Served
from trainer.teacher import Teacher, TeacherSettings, open_teacher

JUDGED = "judged.json"
REPLY_TOKENS = 96
SHOWN_CHARACTERS = 4000  # of the end of a prompt: the talk itself
MOST_PAIRS = 60
RULES = (
    "You judge actors. You are shown a part as it was written for an actor, the talk so far, and two answers, A and B. Say which one a "
    "person in that talk would rather get: in character, to the point, whole. Write one letter, A or B, or = where neither is better."
)
_LETTER = re.compile(r"[AB=]")


@dataclass(frozen=True, slots=True)
class Shown:
    prompt: str
    old: str
    new: str


def judge_replies(old: Path, new: Path, lessons: Path, into: Path, settings: TeacherSettings, threads: int | None = None) -> Interval:
    """How often the new build is preferred, with its interval. Made once.

    Raises:
        EngineError: the judge cannot be asked.
    """
    inputs: dict[str, Path | str] = {"old": old, "new": new, "lessons": lessons / TEST_CHOSEN}
    stage = begin(into, "judge", inputs=inputs, settings=settings.asked(), seed=0)
    if not stage.finished:
        prompts = [s.tokens[: s.spans[-1][0]] for s in read_samples(lessons / TEST_CHOSEN)][:MOST_PAIRS]
        (told, before), (_, after) = (_answers(model, prompts, threads) for model in (old, new))
        shown = [Shown(*each) for each in zip(told, before, after, strict=True)]
        scores = asyncio.run(compare(shown, settings))
        (into / JUDGED).write_text(json.dumps({"scores": scores}) + "\n", encoding="utf-8")
        stage.finish({"pairs": len(scores), "preferred": str(mean(scores))})
    return mean(json.loads((into / JUDGED).read_text(encoding="utf-8"))["scores"])


def _answers(model: Path, prompts: Sequence[list[int]], threads: int | None) -> tuple[list[str], list[str]]:
    """The prompts as text, and what the model says to each."""
    with Served(model, threads=threads) as served:
        words = [served.greedy(prompt, REPLY_TOKENS) for prompt in prompts]
        decode = served.tokenizer.decode
        return [decode(p)[-SHOWN_CHARACTERS:] for p in prompts], [decode(w).removesuffix(served.tokenizer.eos).strip() for w in words]


async def compare(shown: Sequence[Shown], settings: TeacherSettings) -> list[float]:
    async with open_teacher(settings) as teacher:
        limit = asyncio.Semaphore(settings.concurrent)

        async def one(number: int, each: Shown) -> float:
            if each.old == each.new:
                return 0.5
            async with limit:
                first = await _asked(teacher, each.prompt, each.old, each.new, f"judge-{number}")
                second = await _asked(teacher, each.prompt, each.new, each.old, f"judge-{number}")
            won = (first == "B") + (second == "A")
            lost = (first == "A") + (second == "B")
            return 1.0 if won == 2 else 0.0 if lost == 2 else 0.5

        return list(await asyncio.gather(*(one(number, each) for number, each in enumerate(shown))))


async def _asked(teacher: Teacher, prompt: str, a: str, b: str, about: str) -> str:
    """A, B, or = for an answer that is none of the three."""
    asked = f"The part and the talk:\n{prompt}\n\nA: {a}\n\nB: {b}\n\nWhich is better? A, B or ="
    answer = await teacher.ask([ChatMessage("system", RULES), ChatMessage("user", asked)], Sampling(temperature=0.0, max_tokens=4), about)
    found = _LETTER.search(answer.text)
    return found[0] if found else "="
