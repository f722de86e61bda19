"""Characters made from a member's messages: whether that person agreed, and the end of such a character.

Asked by a moderator, answered by the person alone. A character that was made so goes with every trace of it when the person
withdraws or is forgotten: what it said may hold their words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, Text, delete, select, type_coerce, update

from bot.memory import schema
from bot.memory.part import Part
from bot.messages import ChannelKey

LikenessState = Literal["asked", "agreed", "refused"]

_likenesses, _turns = schema.likenesses, schema.turns


@dataclass(frozen=True, slots=True)
class Likeness:
    """One name that a moderator would give to a character made from somebody's messages."""

    id: int
    person_id: str
    scope: str
    name: str
    slug: str | None  # of the character, once it is made
    asked_by: str
    asked_at: datetime
    state: LikenessState
    answered_at: datetime | None
    channel: ChannelKey | None
    wording: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """Something that the person said, and the character's words before it, if there were any."""

    turn_id: int
    text: str
    before: str
    before_name: str | None


class Likenesses(Part):
    async def ask_likeness(self, person_id: str, scope: str, name: str, *, by: str) -> Likeness:
        """The question about this name, asked now or before: an answer that was given stands."""
        here = (_likenesses.c.person_id == person_id) & (_likenesses.c.scope == scope) & (_likenesses.c.name == name)

        def work(connection: Connection) -> Likeness:
            given = {"person_id": person_id, "scope": scope, "name": name, "asked_by": by, "asked_at": self._now()}
            connection.execute(
                self._database.insert(_likenesses)
                .values(**given, state="asked", wording="")
                .on_conflict_do_nothing(index_elements=["person_id", "scope", "name"])
            )
            return _likeness_of(connection.execute(select(_likenesses).where(here)).one())

        return await self._database.write(work)

    async def likenesses(self, *, person_id: str | None = None, scope: str | None = None) -> list[Likeness]:
        """Of a person, or of a place; the oldest first."""
        wanted = select(_likenesses).order_by(_likenesses.c.id)
        if person_id is not None:
            wanted = wanted.where(_likenesses.c.person_id == person_id)
        if scope is not None:
            wanted = wanted.where(_likenesses.c.scope == scope)
        return [_likeness_of(row) for row in await self._database.read(lambda c: c.execute(wanted).all())]

    async def likeness_of(self, scope: str, slug: str) -> Likeness | None:
        """Whose messages a character is made from; None for one that nobody lent their voice to."""
        wanted = select(_likenesses).where(_likenesses.c.scope == scope, _likenesses.c.slug == slug)
        row = await self._database.read(lambda c: c.execute(wanted).first())
        return None if row is None else _likeness_of(row)

    async def answer_likeness(self, number: int, *, agreed: bool, channel: ChannelKey | None, wording: str) -> None:
        """The person's answer. With a refusal the character that was made goes in the same step, with every trace of it."""

        def work(connection: Connection) -> None:
            known = connection.execute(select(_likenesses).where(_likenesses.c.id == number)).one()
            if not agreed and known.slug is not None:
                withdraw(connection, known.scope, known.slug)
            given = {"state": "agreed" if agreed else "refused", "answered_at": self._now(), "channel": channel, "wording": wording}
            connection.execute(update(_likenesses).where(_likenesses.c.id == number).values(**given))

        await self._database.write(work)

    async def likeness_made(self, number: int, slug: str) -> bool:
        """Note which character it became; False where the agreement does not hold any more."""
        agreed = (_likenesses.c.id == number) & (_likenesses.c.state == "agreed")
        noted = await self._database.write(lambda c: c.execute(update(_likenesses).where(agreed).values(slug=slug)).rowcount)
        return bool(noted)

    async def remove_character(self, scope: str, slug: str) -> None:
        """Every trace of a registered character."""
        await self._database.write(lambda c: remove_character(c, scope, slug))

    async def lent_voices(self) -> frozenset[str]:
        """The people who have agreed that a character be made from what they say, anywhere."""
        wanted = select(_likenesses.c.person_id).where(_likenesses.c.state == "agreed")
        return frozenset(await self._database.read(lambda c: list(c.execute(wanted).scalars())))

    async def spoken_by(self, person_id: str, scope: str, *, limit: int) -> list[Spoken]:
        """The newest messages of a person in a place, the oldest of them first; with a character's words right before."""
        before = _turns.alias()
        last = (
            select(before.c.id)
            .where(before.c.channel == _turns.c.channel, before.c.id < _turns.c.id, before.c.hidden.is_(False))
            .order_by(before.c.id.desc())
            .limit(1)
            .correlate(_turns)
            .scalar_subquery()
        )
        wanted = (
            select(_turns.c.id, _turns.c.channel, _turns.c.text, last.label("before"))
            .where(_turns.c.author_id == person_id, _turns.c.by_character.is_(False), _turns.c.hidden.is_(False), _turns.c.text != "")
            .order_by(_turns.c.id.desc())
        )

        def work(connection: Connection) -> list[Spoken]:
            rows = [row for row in connection.execute(wanted) if row.channel.scope == scope][:limit]
            ids = [row.before for row in rows if row.before is not None]
            said = {row.id: row for row in connection.execute(select(_turns).where(_turns.c.id.in_(ids), _turns.c.by_character))}
            found = []
            for row in reversed(rows):
                other = said.get(row.before)
                found.append(Spoken(row.id, row.text, other.text if other else "", other.author_name if other else None))
            return found

        return await self._database.read(work)


def remove_character(connection: Connection, scope: str, slug: str) -> None:
    """A character with its revisions, what it said, what it remembers, and its place in every channel."""
    character_id = f"{scope}/{slug}"
    connection.execute(delete(schema.characters).where(schema.characters.c.scope == scope, schema.characters.c.slug == slug))
    connection.execute(delete(_turns).where(_turns.c.by_character, _turns.c.author_id == character_id))
    for table in (schema.replies, schema.facts, schema.recaps, schema.views, schema.presence):
        connection.execute(delete(table).where(table.c.character_id == character_id))
    called = select(_turns.c.id, _turns.c.mentions).where(
        type_coerce(_turns.c.mentions, Text).contains(f'"{character_id}"', autoescape=True)
    )
    for row in connection.execute(called).all():
        others = [name for name in row.mentions if name != character_id]
        connection.execute(update(_turns).where(_turns.c.id == row.id).values(mentions=others))
    channels = schema.channels
    for row in connection.execute(select(channels.c.channel, channels.c.awake).where(channels.c.awake.is_not(None))).all():
        if character_id in row.awake:
            there = [name for name in row.awake if name != character_id]
            connection.execute(update(channels).where(channels.c.channel == row.channel).values(awake=there))


def withdraw(connection: Connection, scope: str, slug: str) -> None:
    """The agreement that a character rests on does not hold any more."""
    remove_character(connection, scope, slug)
    here = (_likenesses.c.scope == scope) & (_likenesses.c.slug == slug)
    connection.execute(update(_likenesses).where(here).values(state="refused", slug=None))


def leave_likenesses(connection: Connection, person_id: str) -> int:
    """Every character made from a person's messages, and what was asked and answered about it. Returns how many rows went."""
    theirs = _likenesses.c.person_id == person_id
    for row in connection.execute(select(_likenesses).where(theirs, _likenesses.c.slug.is_not(None))).all():
        remove_character(connection, row.scope, row.slug)
    return connection.execute(delete(_likenesses).where(theirs)).rowcount


def _likeness_of(row: Row[Any]) -> Likeness:
    return Likeness(
        row.id, row.person_id, row.scope, row.name, row.slug, row.asked_by, row.asked_at, row.state, row.answered_at, row.channel,
        row.wording,
    )  # fmt: skip
