"""The measuring itself: who is asked when, and one row of figures for each turn."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from bot.bench.contestants import Answer, Contestant
from bot.bench.work import Talk, Work

Prefixes = Literal["cold", "warm"]


@dataclass(frozen=True, slots=True)
class Row:
    """What one turn of all channels cost one contestant."""

    engine: str
    work: str
    prefixes: Prefixes  # warm: the characters were read before, which took warm_up_seconds
    round: int
    channels: int
    turn: int
    reply_tokens: int
    wall_seconds: float
    tokens_per_second: float
    first_token_median_seconds: float
    first_token_p95_seconds: float
    inter_token_p95_seconds: float
    prompt_tokens: int
    evaluated_tokens: int | None
    reused_tokens: int | None
    peak_memory_bytes: int | None
    warm_up_seconds: float


async def measure(
    work: Work, contestants: Sequence[Contestant], *, rounds: int, turns: int, reply_tokens: int, prefixes: Sequence[Prefixes]
) -> AsyncIterator[list[Row]]:
    """The rows of one contestant in one round, as they come. Who went first in one round goes last in the next."""
    for number in range(1, rounds + 1):
        for kind in prefixes:
            order = contestants if number % 2 else list(reversed(contestants))
            for contestant in order:
                yield await _round(work, contestant, number, kind, turns, reply_tokens)


def steps(contestants: Sequence[Contestant], rounds: int, prefixes: Sequence[Prefixes]) -> int:
    """How many lists ``measure`` gives."""
    return rounds * len(prefixes) * len(contestants)


async def _round(work: Work, contestant: Contestant, number: int, prefixes: Prefixes, turns: int, reply_tokens: int) -> list[Row]:
    name = f"Round {number} {prefixes}"
    began = time.monotonic()
    if prefixes == "warm":
        await contestant.know(work.prefixes(name))
    warm_up = time.monotonic() - began
    talks = work.talks(name)
    rows = []
    for turn in range(1, turns + 1):
        wall, answers = await _turn(contestant, talks, turn, reply_tokens)
        firsts = [answer.times[0] for answer in answers]
        gaps = [later - sooner for answer in answers for sooner, later in pairwise(answer.times)]
        rows.append(
            Row(
                engine=contestant.name,
                work=work.name,
                prefixes=prefixes,
                round=number,
                channels=len(talks),
                turn=turn,
                reply_tokens=reply_tokens,
                wall_seconds=wall,
                tokens_per_second=sum(len(answer.times) for answer in answers) / wall,
                first_token_median_seconds=statistics.median(firsts),
                first_token_p95_seconds=_p95(firsts),
                inter_token_p95_seconds=_p95(gaps),
                prompt_tokens=sum(answer.prompt_tokens for answer in answers),
                evaluated_tokens=_sum([answer.evaluated_tokens for answer in answers]),
                reused_tokens=_sum([answer.reused_tokens for answer in answers]),
                peak_memory_bytes=contestant.peak_memory_bytes(),
                warm_up_seconds=warm_up,
            )
        )
    return rows


async def _turn(contestant: Contestant, talks: Sequence[Talk], turn: int, reply_tokens: int) -> tuple[float, list[Answer]]:
    prompts = [talk.hear(turn) for talk in talks]
    began = time.monotonic()
    answers = await asyncio.gather(
        *(contestant.ask(prompt, talk.channel, reply_tokens) for prompt, talk in zip(prompts, talks, strict=True))
    )
    wall = time.monotonic() - began
    for talk, answer in zip(talks, answers, strict=True):
        talk.say(answer.text)
    return wall, answers


def _p95(values: Sequence[float]) -> float:
    """The value that 95 % do not pass; of few values, the largest."""
    return sorted(values)[-(-len(values) * 95 // 100) - 1] if values else 0.0


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
