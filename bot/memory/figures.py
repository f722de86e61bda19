"""Numbers for whoever runs the house: what people agreed to, and how they rated each build. They name nobody."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, variance

from sqlalchemy import Connection, func, select

from bot.memory import schema
from bot.memory.part import Part

_consents, _replies, _ratings = schema.consents, schema.replies, schema.ratings


@dataclass(frozen=True, slots=True)
class ConsentCount:
    """How many people's newest answer of a kind is yes, and how many's is no. Who never answered is in neither."""

    kind: str
    granted: int
    refused: int


@dataclass(frozen=True, slots=True)
class BuildStanding:
    """One build of the model, as people have met it."""

    build: str
    replies: int
    ratings: int
    stars: float  # the mean, from 1 to 5; 0 where nobody rated


@dataclass(frozen=True, slots=True)
class CharacterStanding:
    """How people rated one character on one build."""

    character_id: str
    name: str
    replies: int
    ratings: int
    stars: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The ratings of two builds in the same weeks: how much better the one is, with a 95 % interval (Welch, normal)."""

    build: str
    other: str
    ratings: int
    others: int
    stars: float
    other_stars: float
    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        rated = f"{self.build} {self.stars:.2f} stars in {self.ratings} ratings, {self.other} {self.other_stars:.2f} in {self.others}"
        if not math.isfinite(self.low):
            return f"{rated}: too few to compare"
        return f"{rated}: a difference of {self.stars - self.other_stars:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def compared(build: str, stars: list[int], other: str, others: list[int]) -> Comparison:
    """Two lists of ratings from 1 to 5. With fewer than two of each nothing is known of the difference."""
    one, two = fmean(stars) if stars else 0.0, fmean(others) if others else 0.0
    if len(stars) < 2 or len(others) < 2:
        return Comparison(build, other, len(stars), len(others), one, two)
    # Ratings that are all alike say less than their variance of 0 pretends: one of each kind is thought to be still to come.
    spread = math.sqrt(_variance(stars) / len(stars) + _variance(others) / len(others))
    return Comparison(build, other, len(stars), len(others), one, two, one - two - 1.96 * spread, one - two + 1.96 * spread)


def _variance(stars: list[int]) -> float:
    return variance([*stars, 1, 5]) if len(set(stars)) == 1 else variance(stars)


class Figures(Part):
    async def compare_builds(self, build: str, other: str, since: datetime) -> Comparison:
        """By what people rated of the replies that each has made since then."""
        made_by = _replies.c.stamp["build"].as_string()
        wanted = (
            select(made_by.label("build"), _ratings.c.value)
            .join(_replies, _replies.c.id == _ratings.c.reply_id)
            .where(_replies.c.stamp.is_not(None), _replies.c.created_at >= since, made_by.in_((build, other)))
        )

        def work(connection: Connection) -> Comparison:
            stars: dict[str, list[int]] = {build: [], other: []}
            for row in connection.execute(wanted):
                stars[row.build].append(row.value)
            return compared(build, stars[build], other, stars[other])

        return await self._database.read(work)

    async def character_standings(self, build: str) -> list[CharacterStanding]:
        """One build's characters, whoever spoke most first."""
        made_by = _replies.c.stamp["build"].as_string() == build
        spoken = (
            select(_replies.c.character_id, func.max(_replies.c.character_name).label("name"), func.count().label("replies"))
            .where(_replies.c.stamp.is_not(None), _replies.c.turn_id.is_not(None), made_by)
            .group_by(_replies.c.character_id)
        )
        rated = (
            select(_replies.c.character_id, func.count().label("ratings"), func.avg(_ratings.c.value).label("stars"))
            .join(_replies, _replies.c.id == _ratings.c.reply_id)
            .where(_replies.c.stamp.is_not(None), made_by)
            .group_by(_replies.c.character_id)
        )

        def work(connection: Connection) -> list[CharacterStanding]:
            stars = {row.character_id: (row.ratings, float(row.stars)) for row in connection.execute(rated)}
            rows = sorted(connection.execute(spoken).all(), key=lambda row: (-row.replies, row.character_id))
            return [CharacterStanding(r.character_id, r.name, r.replies, *stars.get(r.character_id, (0, 0.0))) for r in rows]

        return await self._database.read(work)

    async def consent_counts(self) -> list[ConsentCount]:
        newest = select(func.max(_consents.c.id)).group_by(_consents.c.person_id, _consents.c.kind)
        wanted = (
            select(_consents.c.kind, _consents.c.granted, func.count().label("people"))
            .where(_consents.c.id.in_(newest))
            .group_by(_consents.c.kind, _consents.c.granted)
        )

        def work(connection: Connection) -> list[ConsentCount]:
            counted = {(row.kind, row.granted): row.people for row in connection.execute(wanted)}
            kinds = sorted({kind for kind, _ in counted})
            return [ConsentCount(kind, counted.get((kind, True), 0), counted.get((kind, False), 0)) for kind in kinds]

        return await self._database.read(work)

    async def build_standings(self) -> list[BuildStanding]:
        """The one that answered last first. Reads every reply: for a page, not for each turn."""
        build = _replies.c.stamp["build"].as_string()
        answered = (
            select(build.label("build"), func.count().label("replies"), func.max(_replies.c.id).label("newest"))
            .where(_replies.c.stamp.is_not(None), _replies.c.turn_id.is_not(None))
            .group_by(build)
        )
        rated = (
            select(build.label("build"), func.count().label("ratings"), func.avg(_ratings.c.value).label("stars"))
            .join(_replies, _replies.c.id == _ratings.c.reply_id)
            .where(_replies.c.stamp.is_not(None))
            .group_by(build)
        )

        def work(connection: Connection) -> list[BuildStanding]:
            stars = {row.build: (row.ratings, float(row.stars)) for row in connection.execute(rated)}
            rows = sorted(connection.execute(answered).all(), key=lambda row: -row.newest)
            return [BuildStanding(row.build, row.replies, *stars.get(row.build, (0, 0.0))) for row in rows]

        return await self._database.read(work)
