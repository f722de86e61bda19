"""Asks a teacher all of a method's questions, and writes every answer down the moment it is there.

Killed at any moment, the same call asks only for what is missing: at most the answers that were on their way are lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from bot.errors import EngineError, PromptTooLong
from bot.messages import Sampling
from trainer.asking import AnswerMisshapen, repair
from trainer.journal import Journal
from trainer.synthesis.settings import SynthesizeSettings
from trainer.synthesis.work import Asked, Method, Question, Room
from trainer.teacher import Answer, Teacher, passes

SAMPLED = 16  # questions whose length stands for all of a phase's
TOLD_SECONDS = 30.0  # between two lines about how it goes, where there is no terminal
GIVE_UP = 3  # questions in a row that failed in every try: nobody is there, and the others need not wait for it too


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a phase will cost at most."""

    questions: int
    later: int  # questions of later phases, about
    read_tokens: int
    write_tokens: int
    price: float

    def told(self) -> str:
        after = f", and about {self.later:,} after them" if self.later else ""
        price = f"; at most {self.price:,.2f} at the given prices" if self.price else ""
        return (
            f"{self.questions:,} questions{after}: about {self.read_tokens:,} tokens to read, at most {self.write_tokens:,} to write{price}"
        )


def estimate(method: Method, room: Room, questions: Sequence[Question]) -> Estimate:
    """The cost of ``questions``, with later phases at the same price each. Measures a sample of them."""
    later = method.later(room)
    if not questions:
        return Estimate(0, later, 0, 0, 0.0)
    sample = questions[:: max(len(questions) // SAMPLED, 1)][:SAMPLED]
    share = (len(questions) + later) / len(sample)
    read = round(sum(room.size(q.ask()) for q in sample) * share)
    write = round(sum(q.tokens for q in sample) * share)
    settings = room.settings
    return Estimate(len(questions), later, read, write, (read * settings.price_read + write * settings.price_write) / 1e6)


class Told:
    """How far it is: one line that is written over on a terminal, else one now and then."""

    def __init__(self, total: int, name: str, console: Console) -> None:
        self._total, self._name, self._console = total, name, console
        self._done = self._before = 0
        self._began = time.monotonic()
        self._last = self._began
        self._recent: deque[float] = deque([self._began], maxlen=64)

    def skip(self, count: int) -> None:
        """These were answered before; they say nothing of today's rate."""
        self._done += count
        self._before += count

    def one(self) -> None:
        self._done += 1
        now = time.monotonic()
        self._recent.append(now)
        last = self._done == self._total
        if self._console.is_terminal:
            self._console.print(self.line(), end="\n" if last else "\r", highlight=False, soft_wrap=True)
        elif now - self._last >= TOLD_SECONDS or last:
            self._last = now
            self._console.print(self.line(), highlight=False)

    def line(self) -> str:
        rate = self.rate()
        left = (self._total - self._done) / rate if rate else 0.0
        return f"{self._name}: {self._done}/{self._total} · {rate:.1f} a minute · {left:.0f} min left"

    def rate(self) -> float:
        """Answers a minute, of the last 64."""
        took = self._recent[-1] - self._recent[0]
        return 60 * (len(self._recent) - 1) / took if took > 0 else 0.0


async def ask_all(
    questions: Sequence[Question],
    journal: Journal,
    teacher: Teacher,
    settings: SynthesizeSettings,
    told: Told,
    keep_time: Callable[[], None],
) -> None:
    """Ask whatever has no answer in the journal, so many at a time.

    Raises:
        EngineError: some questions got no answer; all others were asked and are kept.
    """
    missing = [q for q in questions if q.key not in journal.done]
    told.skip(len(questions) - len(missing))
    effort = _Effort(missing, journal, teacher, settings, told)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(settings.concurrent, len(missing))):
                group.create_task(effort.work())
    finally:
        keep_time()
    left = sum(q.key not in journal.done for q in missing)
    if left and effort.trouble is not None:
        raise EngineError(
            f"{left} of {len(questions)} questions got no answer ({effort.trouble}); everything else is kept, "
            "and the same command asks for the rest"
        ) from effort.trouble


class _Effort:
    """Several workers that take the next question each."""

    def __init__(self, missing: Sequence[Question], journal: Journal, teacher: Teacher, settings: SynthesizeSettings, told: Told) -> None:
        self.trouble: EngineError | None = None
        self._next: Iterator[Question] = iter(missing)
        self._journal, self._teacher, self._settings, self._told = journal, teacher, settings, told
        self._failed = 0  # in a row
        self._give_up = False

    async def work(self) -> None:
        for question in self._next:
            if self._give_up:
                return
            try:
                record = await self._record(question)
            except EngineError as error:
                self.trouble = error
                self._failed += 1
                self._give_up = not passes(error) or self._failed >= GIVE_UP
                continue
            self._failed = 0
            self._journal.add(question.key, record)
            self._told.one()

    async def _record(self, question: Question) -> dict[str, Any]:
        """What the teacher answered; an answer that is not in the asked form is asked for once more, and then kept as it is."""
        asked = question.ask()
        stamp = {"teacher": self._teacher.name, "source_ids": list(asked.sources)}
        wrong = ""
        messages = list(asked.messages)
        for attempt in (1, 2):
            seed = question.seed(self._settings.seed, attempt)
            try:
                answer = await self._ask(question, asked, messages, seed)
            except PromptTooLong as error:
                return {**stamp, "reply": "", "finished": False, "seed": seed, "tries": attempt, "wrong": str(error)}
            record = {**stamp, "reply": answer.text, "finished": answer.finished, "seed": seed, "tries": attempt, "tokens": answer.tokens}
            try:
                question.form.read(answer.text, finished=answer.finished)
            except AnswerMisshapen as error:
                wrong = str(error)
                messages = repair(asked.messages, answer.text[:1200], wrong)
                continue
            return record
        return {**record, "wrong": wrong}

    async def _ask(self, question: Question, asked: Asked, messages: Sequence[Any], seed: int) -> Answer:
        sampling = Sampling(temperature=question.temperature, max_tokens=question.tokens, seed=seed, grammar=question.form.grammar)
        if question.form.repeats:
            sampling = replace(sampling, repeat_penalty=1.0, dry_multiplier=0.0)
        if asked.prompt is not None:
            return await self._teacher.answer(asked.prompt, sampling, question.key)
        return await self._teacher.ask(messages, sampling, question.key, again=asked.again)
