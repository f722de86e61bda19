"""What people thought of a reply, one value a person and take, from 1 (bad) to 5 (good)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from bot.memory import schema
from bot.memory.part import Part

LOWEST, HIGHEST = 1, 5

_ratings = schema.ratings


@dataclass(frozen=True, slots=True)
class Rating:
    reply_id: int  # a delivery: the very take that was seen
    person_id: str
    value: int
    at: datetime


class Ratings(Part):
    async def rate(self, reply_id: int, person_id: str, value: int | None) -> None:
        """In place of what the person said of it before; None takes that back."""
        here = (_ratings.c.reply_id == reply_id) & (_ratings.c.person_id == person_id)
        if value is None:
            await self._database.write(lambda c: c.execute(delete(_ratings).where(here)))
            return
        assert LOWEST <= value <= HIGHEST, f"a rating of {value}"
        given = {"value": value, "at": self._now()}
        statement = (
            self._database.insert(_ratings)
            .values(reply_id=reply_id, person_id=person_id, **given)
            .on_conflict_do_update(index_elements=["reply_id", "person_id"], set_=given)
        )
        await self._database.write(lambda c: c.execute(statement))

    async def ratings(self, reply_id: int) -> list[Rating]:
        """The oldest first."""
        wanted = select(_ratings).where(_ratings.c.reply_id == reply_id).order_by(_ratings.c.at)
        rows = await self._database.read(lambda c: c.execute(wanted).all())
        return [Rating(row.reply_id, row.person_id, row.value, row.at) for row in rows]
