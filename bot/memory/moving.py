"""A place that gets another key: a group of Telegram that becomes a supergroup has a new id, and is the same people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, Connection, Table, Text, delete, func, literal, null, or_, select, type_coerce, update

from bot.memory import schema
from bot.memory.deliveries import UNFINISHED
from bot.memory.part import Part
from bot.memory.retention import LEFT_AT, within
from bot.messages import ChannelKey

_turns, _replies, _pieces, _channels = schema.turns, schema.replies, schema.pieces, schema.channels


class Moving(Part):
    async def move_place(self, old: ChannelKey, new: ChannelKey) -> int:
        """Give everything of a server or chat, and of the channels in it, another key; returns how many rows went along.

        Messages keep their ids with the old place's in front: the platform counts anew in the new one, and the same number
        twice would be taken for the same message. None of them can be changed on the platform any more, so a reply that was
        being shown is made again, another take of one that was answered is given up, and one whose text is whole is done.

        In one transaction. A second call finds nothing, and changes nothing.
        """

        def work(connection: Connection) -> int:
            self._settle_unfinished(connection, old)
            went = _relabel(connection, _turns, old, new, "message_id", "reply_to")
            went += _relabel(connection, _pieces, old, new, "message_id")
            for table in (_replies, schema.facts, schema.recaps, schema.consents, schema.likenesses):
                went += _relabel(connection, table, old, new)
            went += self._merge_views(connection, old, new)
            went += self._merge_channels(connection, old, new)
            went += _move_characters(connection, str(old), str(new))
            return went + _move_blocks(connection, old, new)

        return await self._database.write(work)

    def _settle_unfinished(self, connection: Connection, old: ChannelKey) -> None:
        begun = connection.execute(
            select(_replies.c.id, _replies.c.state, _replies.c.take, _turns.c.state.label("cause"))
            .join(_turns, _turns.c.id == _replies.c.cause_id)
            .where(within(_replies.c.channel, old), _replies.c.state.in_(UNFINISHED))
        ).all()
        done = [row.id for row in begun if row.state == "final"]
        again = [row.id for row in begun if row.state != "final" and row.cause == "heard" and not row.take]
        given_up = [row.id for row in begun if row.id not in {*done, *again}]
        connection.execute(delete(_pieces).where(_pieces.c.reply_id.in_(again)))
        for ids, values in (
            (done, {"state": "recorded"}),
            (again, {"state": "claimed"}),
            (given_up, {"state": "failed", "reason": "the place was given another id"}),
        ):
            connection.execute(update(_replies).where(_replies.c.id.in_(ids)).values(updated_at=self._now(), **values))

    def _merge_views(self, connection: Connection, old: ChannelKey, new: ChannelKey) -> int:
        views = schema.views
        rows = connection.execute(select(views).where(within(views.c.channel, old))).all()
        for row in rows:
            mark = {"after_turn": row.after_turn, "at": row.at}
            connection.execute(
                self._database.insert(views)
                .values(channel=_renamed(row.channel, old, new), character_id=row.character_id, **mark)
                .on_conflict_do_nothing(index_elements=["channel", "character_id"])  # a reset in the new place is the newer one
            )
        connection.execute(delete(views).where(within(views.c.channel, old)))
        return len(rows)

    def _merge_channels(self, connection: Connection, old: ChannelKey, new: ChannelKey) -> int:
        """What was settled in the new place already goes before what holds from the old one."""
        rows = connection.execute(select(_channels).where(within(_channels.c.channel, old))).all()
        for row in rows:
            key = _renamed(row.channel, old, new)
            there = connection.execute(select(_channels).where(_channels.c.channel == key)).first()
            awake = row.awake if there is None or there.awake is None else there.awake
            settings = {**row.settings, **(there.settings if there is not None else {})}
            values = {
                "awake": null() if awake is None else [_of_new_scope(each, str(old), str(new)) for each in awake],
                "place": row.place if there is None else there.place or row.place,
                "settings": {name: value for name, value in settings.items() if name != LEFT_AT},
                "last_seen": row.last_seen if there is None else there.last_seen,
            }
            connection.execute(
                self._database.insert(_channels)
                .values(channel=key, **values)
                .on_conflict_do_update(index_elements=["channel"], set_=values)
            )
        connection.execute(delete(_channels).where(within(_channels.c.channel, old)))
        return len(rows)


def _relabel(connection: Connection, table: Table, old: ChannelKey, new: ChannelKey, *message_ids: str) -> int:
    values: dict[str, Any] = {"channel": _exchanged(table.c.channel, str(old), str(new))}
    for name in message_ids:
        values[name] = literal(f"{old.path}:", Text).concat(type_coerce(table.c[name], Text))  # null stays null
    return connection.execute(update(table).where(within(table.c.channel, old)).values(values)).rowcount


def _move_characters(connection: Connection, old: str, new: str) -> int:
    """Registered characters come along, and with them whatever names them by their id."""
    characters = schema.characters
    taken = select(characters.c.slug).where(characters.c.scope == new).scalar_subquery()
    slugs = list(connection.execute(select(characters.c.slug).where(characters.c.scope == old, characters.c.slug.not_in(taken))).scalars())
    here = (characters.c.scope == old) & characters.c.slug.in_(slugs)
    connection.execute(update(characters).where(here).values(scope=new))
    lent = schema.likenesses
    connection.execute(update(lent).where(lent.c.scope == old, or_(lent.c.slug.is_(None), lent.c.slug.in_(slugs))).values(scope=new))
    for column in _columns_naming_characters():
        for slug in slugs:
            connection.execute(update(column.table).where(column == f"{old}/{slug}").values({column.name: f"{new}/{slug}"}))
    waiting = select(_turns.c.id, _turns.c.mentions).where(_turns.c.state == "heard", within(_turns.c.channel, ChannelKey.parse(new)))
    for turn_id, mentions in connection.execute(waiting).all():
        named = [_of_new_scope(each, old, new) for each in mentions]
        connection.execute(update(_turns).where(_turns.c.id == turn_id).values(mentions=named))
    return len(slugs)


def _columns_naming_characters() -> Iterable[Column[Any]]:
    yield _turns.c.author_id
    for table in (schema.presence, schema.views, _replies, schema.facts, schema.recaps):
        yield table.c.character_id


def _move_blocks(connection: Connection, old: ChannelKey, new: ChannelKey) -> int:
    blocks = schema.blocks
    rows = connection.execute(select(blocks).where(blocks.c.scope == str(old))).all()
    there = {(row.kind, row.subject) for row in connection.execute(select(blocks).where(blocks.c.scope == str(new))).all()}
    for row in rows:
        subject = str(_renamed(ChannelKey.parse(row.subject), old, new)) if row.kind == "channel" else row.subject
        if (row.kind, subject) not in there:
            connection.execute(blocks.insert().values({**row._mapping, "scope": str(new), "subject": subject}))
    connection.execute(delete(blocks).where(blocks.c.scope == str(old)))
    return len(rows)


def _renamed(key: ChannelKey, old: ChannelKey, new: ChannelKey) -> ChannelKey:
    return ChannelKey(new.platform, new.path + key.path[len(old.path) :]) if (key.path + "/").startswith(old.path + "/") else key


def _exchanged(column: Any, old: str, new: str) -> Any:
    return literal(new, Text).concat(func.substr(type_coerce(column, Text), len(old) + 1))


def _of_new_scope(character_id: str, old: str, new: str) -> str:
    scope, _, slug = character_id.rpartition("/")
    return f"{new}/{slug}" if scope == old else character_id
