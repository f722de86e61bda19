"""Numbers for whoever runs the house: what people agreed to, and how they rated each build. They name nobody."""

from __future__ import annotations

from dataclasses import dataclass

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


class Figures(Part):
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
