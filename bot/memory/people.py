"""Who talks here, and what each of them has agreed to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Row, select, update

from bot.memory import schema
from bot.memory.database import Database
from bot.memory.part import Part
from bot.messages import ChannelKey, Person

ConsentKind = Literal["remember", "train"]

# Remembering is on with a notice and can be turned off; training is off until somebody agrees to it.
_UNLESS_SAID: dict[ConsentKind, bool] = {"remember": True, "train": False}

_people, _consents = schema.people, schema.consents


@dataclass(frozen=True, slots=True)
class PersonRecord:
    id: str
    name: str  # the last one seen
    first_seen: datetime
    last_seen: datetime
    remember: bool


@dataclass(frozen=True, slots=True)
class Consent:
    """One answer a person gave; the newest of a kind counts."""

    kind: ConsentKind
    granted: bool
    at: datetime
    channel: ChannelKey | None
    wording: str  # names the text that the person was shown


class People(Part):
    async def person(self, person_id: str) -> PersonRecord | None:
        row = await self._database.read(lambda c: c.execute(select(_people).where(_people.c.id == person_id)).first())
        return None if row is None else _person_of(row)

    async def touch(self, person: Person) -> PersonRecord:
        """Note that somebody is here, under today's name. ``remember`` does it by itself."""

        def work(connection: Connection) -> PersonRecord:
            seen(self._database, connection, person, self._now())
            return _person_of(connection.execute(select(_people).where(_people.c.id == person.id)).one())

        return await self._database.write(work)

    async def record_consent(
        self, person: Person, kind: ConsentKind, granted: bool, *, channel: ChannelKey | None, wording: str
    ) -> Consent:
        """Add an answer; earlier ones stay as receipts."""
        assert kind in get_args(ConsentKind), f"{kind!r} is nothing one can consent to"

        def work(connection: Connection) -> Consent:
            now = self._now()
            seen(self._database, connection, person, now)
            given = {"kind": kind, "granted": granted, "at": now, "channel": channel, "wording": wording}
            connection.execute(_consents.insert().values(person_id=person.id, **given))
            if kind == "remember":
                connection.execute(update(_people).where(_people.c.id == person.id).values(remember=granted))
            return Consent(kind, granted, now, channel, wording)

        return await self._database.write(work)

    async def consents(self, person_id: str) -> list[Consent]:
        """Every answer of a person, oldest first."""
        answers = select(_consents).where(_consents.c.person_id == person_id).order_by(_consents.c.id)
        rows = await self._database.read(lambda c: c.execute(answers).all())
        return [Consent(row.kind, row.granted, row.at, row.channel, row.wording) for row in rows]

    async def consented(self, person_id: str, kind: ConsentKind) -> bool:
        """What counts now; without an answer, remembering is allowed and training is not."""
        answers = select(_consents.c.granted).where(_consents.c.person_id == person_id, _consents.c.kind == kind)
        newest = answers.order_by(_consents.c.id.desc()).limit(1)
        granted = await self._database.read(lambda c: c.execute(newest).scalar_one_or_none())
        return _UNLESS_SAID[kind] if granted is None else granted


def seen(database: Database, connection: Connection, person: Person, now: datetime) -> None:
    connection.execute(
        database.insert(_people)
        .values(id=person.id, name=person.name, first_seen=now, last_seen=now, remember=_UNLESS_SAID["remember"])
        .on_conflict_do_update(index_elements=["id"], set_={"name": person.name, "last_seen": now})
    )


def _person_of(row: Row[Any]) -> PersonRecord:
    return PersonRecord(row.id, row.name, row.first_seen, row.last_seen, row.remember)
