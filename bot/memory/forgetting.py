"""Everything of one person: given to them, or taken away for good.

What goes: their messages and what characters replied to them (with takes, ratings and presence), what was kept about them,
recaps that tell of a stretch in which they spoke, their ratings and consents, characters made from their messages with all
that those said, and their name wherever somebody mentioned it by id. What stays: that they are blocked, and the words of other people.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Table, and_, create_engine, delete, event, exc, func, or_, select, update

from bot.memory import schema
from bot.memory.likenesses import leave_likenesses
from bot.memory.part import Part
from bot.messages import ChannelKey

log = logging.getLogger(__name__)

_turns, _replies, _facts, _recaps = schema.turns, schema.replies, schema.facts, schema.recaps

NOBODY = ""  # stands where the id of somebody who was forgotten stood
SOMEBODY = "<@0>"  # stands where somebody mentioned them


class Forgetting(Part):
    async def everything_of(self, person_id: str) -> dict[str, list[dict[str, Any]]]:
        """A person's rows by table, with plain values that JSON can hold; tables that have none of them are left out."""
        theirs = _theirs(person_id)
        wanted: dict[str, Select[Any]] = {
            "people": select(schema.people).where(schema.people.c.id == person_id),
            "consents": select(schema.consents).where(schema.consents.c.person_id == person_id),
            "turns": select(_turns).where(_turns.c.id.in_(theirs)).order_by(_turns.c.id),
            "replies": select(_replies).where(_replies.c.cause_id.in_(theirs)).order_by(_replies.c.id),
            "facts": select(_facts).where(_facts.c.person_id == person_id).order_by(_facts.c.id),
            "ratings": select(schema.ratings).where(schema.ratings.c.person_id == person_id),
            "signals": select(schema.signals).where(schema.signals.c.person_id == person_id),
            "likenesses": select(schema.likenesses).where(schema.likenesses.c.person_id == person_id),
            "blocks": select(schema.blocks).where(schema.blocks.c.kind == "user", schema.blocks.c.subject == person_id),
        }

        def work(connection: Connection) -> dict[str, list[dict[str, Any]]]:
            found = {name: [_plain(row) for row in connection.execute(rows).mappings()] for name, rows in wanted.items()}
            return {name: rows for name, rows in found.items() if rows}

        return await self._database.read(work)

    async def forget(self, person_id: str) -> dict[str, int]:
        """Take a person's rows away in one transaction; returns how many went, by table.

        ``checkpoint`` afterwards empties the write-ahead log; copies of the database are ``change_copy``'s.
        """
        return await self._database.write(lambda connection: forget_in(connection, person_id))


def change_copy(path: Path, named: str, take_away: Callable[[Connection], object]) -> bool:
    """Take something out of a copy of the database that holds ``named``; one by an older version that cannot be changed is removed.

    Returns whether it was in it. Blocking, and slow for big files: use a thread. Raises ``OSError``.
    """
    if not _mentions(path, named):
        return False
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA journal_mode=DELETE")

    try:
        with engine.begin() as connection:
            take_away(connection)
    except exc.DBAPIError as error:
        log.warning("a copy of an older version was removed to forget somebody copy=%s error=%s", path.name, type(error.orig).__name__)
        path.unlink()
    finally:
        engine.dispose()
    return True


def forget_in(connection: Connection, person_id: str) -> dict[str, int]:
    gone: dict[str, int] = {}

    def take(table: Table, where: Any) -> None:
        gone[table.name] = gone.get(table.name, 0) + connection.execute(delete(table).where(where)).rowcount

    theirs = _theirs(person_id)
    first_here = select(_turns.c.channel.label("channel"), func.min(_turns.c.id).label("first")).where(_author(person_id))
    spoken = first_here.group_by(_turns.c.channel).subquery()
    alone = list(connection.execute(_only_theirs(person_id)).scalars())
    told = select(_recaps.c.id).join(spoken, and_(spoken.c.channel == _recaps.c.channel, spoken.c.first <= _recaps.c.up_to_turn))
    take(_recaps, _recaps.c.id.in_(told))
    take(_facts, or_(_facts.c.person_id == person_id, _facts.c.source_turn_id.in_(theirs)))
    take(schema.ratings, schema.ratings.c.person_id == person_id)
    take(schema.signals, schema.signals.c.person_id == person_id)
    gone["replies"] = connection.execute(select(func.count()).where(_replies.c.cause_id.in_(theirs))).scalar_one()
    answered = _turns.alias()
    take(_turns, and_(_turns.c.by_character, _turns.c.answers.in_(select(answered.c.id).where(_author(person_id, answered)))))
    take(_turns, _author(person_id))  # presence, replies, their messages and their ratings go along
    for channel in alone:
        for table in (schema.channels, schema.views, _recaps, _facts, _turns):
            take(table, table.c.channel == channel)
    gone["likenesses"] = leave_likenesses(connection, person_id)
    take(schema.consents, schema.consents.c.person_id == person_id)
    take(schema.people, schema.people.c.id == person_id)
    _leave_no_name(connection, person_id)
    return {table: count for table, count in gone.items() if count > 0}


def _theirs(person_id: str) -> Select[tuple[int]]:
    return select(_turns.c.id).where(_author(person_id))


def _author(person_id: str, turns: Any = _turns) -> Any:
    return and_(turns.c.author_id == person_id, turns.c.by_character.is_(False))


def _only_theirs(person_id: str) -> Select[tuple[ChannelKey]]:
    """Direct chats in which nobody else has spoken: the place itself is theirs, and its name may be their id."""
    others = _turns.alias()
    shared = or_(others.c.author_id != person_id, others.c.direct.is_(False))
    somebody_else = select(others.c.id).where(others.c.channel == _turns.c.channel, others.c.by_character.is_(False), shared)
    return select(_turns.c.channel).distinct().where(_author(person_id), _turns.c.direct, ~somebody_else.exists())


def _leave_no_name(connection: Connection, person_id: str) -> None:
    for column in (
        schema.characters.c.creator,
        schema.character_revisions.c.changed_by,
        schema.blocks.c.blocked_by,
        schema.likenesses.c.asked_by,
    ):
        connection.execute(update(column.table).where(column == person_id).values({column.name: NOBODY}))
    platform, _, number = person_id.partition(":")
    if platform != "discord" or not number.isdecimal():
        return
    for column in (_turns.c.text, _replies.c.text, _recaps.c.text, _facts.c.text):
        for mention in (f"<@{number}>", f"<@!{number}>"):
            replaced = {column.name: func.replace(column, mention, SOMEBODY)}
            connection.execute(update(column.table).where(column.contains(mention, autoescape=True)).values(replaced))


def _mentions(path: Path, text: str) -> bool:
    """Whether the file holds these bytes; a database keeps text as it is."""
    wanted, kept = text.encode(), b""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            if wanted in kept + block:
                return True
            kept = block[-len(wanted) :]
    return False


def _plain(row: RowMapping) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, ChannelKey):
        return str(value)
    return dict(value) if isinstance(value, Mapping) else value
