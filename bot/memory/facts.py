"""What characters keep of people, and the short form of what lies too far back to be read again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, or_, select, update

from bot.memory import schema
from bot.memory.part import Part
from bot.memory.turns import looks_back_to
from bot.messages import ChannelKey

_facts, _recaps = schema.facts, schema.recaps


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a character knows of a person, which that person can read, change and take away."""

    id: int
    channel: ChannelKey | None  # None: known in every channel
    person_id: str
    character_id: str
    text: str
    pinned: bool  # always in the prompt
    source_turn_id: int | None  # where it was said, if it was
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Recap:
    """The conversation up to a turn, told in short."""

    up_to_turn: int
    text: str
    created_at: datetime


class Facts(Part):
    async def facts(
        self, *, person_id: str | None = None, character_id: str | None = None, channel: ChannelKey | None = None
    ) -> list[Fact]:
        """Pinned ones first, then the oldest first. A channel gives what is known there: its own and those of every channel."""
        wanted = select(_facts).order_by(_facts.c.pinned.desc(), _facts.c.id)
        if person_id is not None:
            wanted = wanted.where(_facts.c.person_id == person_id)
        if character_id is not None:
            wanted = wanted.where(_facts.c.character_id == character_id)
        if channel is not None:
            wanted = wanted.where(or_(_facts.c.channel == channel, _facts.c.channel.is_(None)))
        rows = await self._database.read(lambda c: c.execute(wanted).all())
        return [_fact_of(row) for row in rows]

    async def known_facts(self, character_id: str, channel: ChannelKey, person_ids: Collection[str]) -> list[Fact]:
        """What a character may bring to mind here: of these people, and what is about nobody (``person_id`` "").

        Those who do not want to be remembered are left out. Pinned ones first, then the oldest first.
        """
        unwilling = select(schema.people.c.id).where(schema.people.c.remember.is_(False))
        wanted = select(_facts).where(
            _facts.c.character_id == character_id,
            or_(_facts.c.channel == channel, _facts.c.channel.is_(None)),
            _facts.c.person_id.in_(["", *person_ids]),
            _facts.c.person_id.not_in(unwilling),
        )
        rows = await self._database.read(lambda c: c.execute(wanted.order_by(_facts.c.pinned.desc(), _facts.c.id)).all())
        return [_fact_of(row) for row in rows]

    async def fact(self, fact_id: int) -> Fact | None:
        """Whose it is must be looked at before it is shown or changed: ids are easy to guess."""
        row = await self._database.read(lambda c: c.execute(select(_facts).where(_facts.c.id == fact_id)).first())
        return None if row is None else _fact_of(row)

    async def add_fact(
        self,
        character_id: str,
        person_id: str,
        text: str,
        *,
        channel: ChannelKey | None = None,
        pinned: bool = False,
        source_turn_id: int | None = None,
    ) -> Fact:
        now = self._now()
        statement = _facts.insert().values(
            channel=channel,
            person_id=person_id,
            character_id=character_id,
            text=text,
            pinned=pinned,
            source_turn_id=source_turn_id,
            created_at=now,
            updated_at=now,
        )
        return _fact_of(await self._database.write(lambda c: c.execute(statement.returning(*_facts.c)).one()))

    async def change_fact(self, fact_id: int, *, text: str | None = None, pinned: bool | None = None) -> Fact | None:
        """Change what is given; None when there is no such fact."""
        changes = {name: value for name, value in (("text", text), ("pinned", pinned)) if value is not None}
        statement = update(_facts).where(_facts.c.id == fact_id).values(updated_at=self._now(), **changes)
        row = await self._database.write(lambda c: c.execute(statement.returning(*_facts.c)).first())
        return None if row is None else _fact_of(row)

    async def remove_fact(self, fact_id: int) -> bool:
        """False: there was no such fact."""
        return await self._database.write(lambda c: c.execute(delete(_facts).where(_facts.c.id == fact_id)).rowcount > 0)

    async def recap(self, channel: ChannelKey, character_id: str) -> Recap | None:
        """The newest one, unless the character was reset since: then what it tells is not to be known."""
        here = (_recaps.c.channel == channel) & (_recaps.c.character_id == character_id)

        def work(connection: Connection) -> Recap | None:
            since = looks_back_to(connection, channel, character_id)
            newest = select(_recaps).where(here, _recaps.c.up_to_turn > since).order_by(_recaps.c.id.desc()).limit(1)
            row = connection.execute(newest).first()
            return None if row is None else Recap(row.up_to_turn, row.text, row.created_at)

        return await self._database.read(work)

    async def put_recap(self, channel: ChannelKey, character_id: str, up_to_turn: int, text: str) -> None:
        """Store a recap in place of the earlier ones; it tells what they told."""
        here = (_recaps.c.channel == channel) & (_recaps.c.character_id == character_id)
        new = {"channel": channel, "character_id": character_id, "up_to_turn": up_to_turn, "text": text}

        def work(connection: Connection) -> None:
            connection.execute(delete(_recaps).where(here))
            connection.execute(_recaps.insert().values(created_at=self._now(), **new))

        await self._database.write(work)


def _fact_of(row: Row[Any]) -> Fact:
    return Fact(
        row.id,
        row.channel,
        row.person_id,
        row.character_id,
        row.text,
        row.pinned,
        row.source_turn_id,
        row.created_at,
        row.updated_at,
    )
