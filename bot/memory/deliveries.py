"""Replies on their way, from "who answers" to "everybody can read it", and their other takes.

    claimed -> opened -> final -> recorded
       any of the first three -> failed | cancelled

Each arrow is one transaction, so a crash leaves a reply in one of these states. Calling a step a second time does no
harm: whoever takes up a reply begins with the step after its state, and may have been wrong about the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, select, update

from bot.errors import StoreError
from bot.memory import schema
from bot.memory.part import Part
from bot.memory.turns import note_presence, turn_of
from bot.messages import ChannelKey, Counters, Stamp, Turn

DeliveryState = Literal["claimed", "opened", "final", "recorded", "failed", "cancelled"]

UNFINISHED: tuple[DeliveryState, ...] = ("claimed", "opened", "final")

_replies, _pieces, _turns = schema.replies, schema.pieces, schema.turns

# Said once: putting a statement together costs several times what SQLite takes to answer it, and a reply asks these ten times.
_BY_ID = select(_replies).where(_replies.c.id == bindparam("of"))
_CHANGE = update(_replies).where(_replies.c.id == bindparam("of")).returning(*_replies.c)
_SENT_IDS = select(_pieces.c.message_id).where(_pieces.c.reply_id == bindparam("of")).order_by(_pieces.c.piece)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One take of one reply, as it stood when it was read."""

    id: int
    channel: ChannelKey
    cause_id: int  # the turn that it answers
    position: int  # 0 for the first to answer that turn
    take: int  # 0, then one more for each time it was made again
    character_id: str
    character_name: str
    seed: int
    state: DeliveryState
    sent_ids: tuple[str, ...]  # the platform's, in the order of the pieces
    text: str  # whole from "final" on, as the model gave it
    stamp: Stamp | None
    turn_id: int | None  # its turn in the conversation, shared by all takes
    chosen: bool  # the take that the conversation goes on from
    created_at: datetime
    updated_at: datetime
    reason: str = ""  # why it failed


class Deliveries(Part):
    async def claim(self, cause: Turn, position: int, character_id: str, *, name: str, seed: int, take: int = 0) -> Delivery:
        """Write down who answers before anything is made.

        Claiming the same ``(cause, position, take)`` again gives what was claimed first, whoever asks now: after a crash the
        same character answers with the same seed. ``name`` is the character's shown name, for its turn.
        """

        def work(connection: Connection) -> Delivery:
            now = self._now()
            claimed = {
                "channel": cause.channel,
                "cause_id": cause.id,
                "position": position,
                "take": take,
                "character_id": character_id,
                "character_name": name,
                "seed": seed,
                "state": "claimed",
                "reason": "",
                "text": "",
                "chosen": False,
                "created_at": now,
                "updated_at": now,
            }
            unless_there = self._database.insert(_replies).on_conflict_do_nothing(index_elements=["cause_id", "position", "take"])
            new = connection.execute(unless_there.returning(*_replies.c), claimed).first()
            if new is not None:
                return _delivery_of(new, ())
            here = (_replies.c.cause_id == cause.id) & (_replies.c.position == position) & (_replies.c.take == take)
            old = connection.execute(select(_replies).where(here)).one()
            return _delivery_of(old, _sent_ids(connection, old.id))

        return await self._database.write(work)

    async def opened(self, delivery: Delivery, sent_id: str) -> Delivery:
        """A message of the reply is on the platform: the first piece, or a further one. The order of calls is their order."""

        def work(connection: Connection) -> Delivery:
            row = self._in_state(connection, delivery, "be shown", *UNFINISHED)
            sent = _sent_ids(connection, delivery.id)
            stored = schema.storable(sent_id)
            if stored not in sent:
                piece = {"reply_id": row.id, "piece": len(sent), "channel": row.channel, "message_id": stored}
                connection.execute(_pieces.insert(), piece)
                sent = (*sent, stored)
            return _delivery_of(self._changed(connection, row.id, state="opened" if row.state == "claimed" else row.state), sent)

        return await self._database.write(work)

    async def finalise(self, delivery: Delivery, text: str, stamp: Stamp) -> Turn:
        """The whole text is known: store it, and the character's turn with it, in one transaction.

        The turn was heard by whoever was there for its cause, and by the speaker. A further take changes the turn of the
        earlier one instead of adding another, and becomes the chosen one.

        Raises:
            StoreError: nothing of it was shown yet (``opened``), or it was given up.
        """

        def work(connection: Connection) -> Turn:
            row = self._in_state(connection, delivery, "be stored", "opened", "final")
            sent = _sent_ids(connection, row.id)
            turn_id = connection.execute(
                select(_replies.c.turn_id).where(_same_reply(row), _replies.c.turn_id.is_not(None)).limit(1)
            ).scalar_one_or_none()
            if turn_id is None:
                turn_id = self._add_turn(connection, row, sent[0], text)
            row = self._changed(connection, row.id, state="final", text=text, stamp=asdict(stamp), turn_id=turn_id)
            return self._choose(connection, row, sent)

        return await self._database.write(work)

    async def recorded(self, delivery: Delivery) -> Delivery:
        """Every piece has arrived: the reply is done."""

        def work(connection: Connection) -> Delivery:
            self._in_state(connection, delivery, "be done", "final", "recorded")
            row = self._changed(connection, delivery.id, state="recorded")
            return _delivery_of(row, _sent_ids(connection, row.id))

        return await self._database.write(work)

    async def fail(self, delivery: Delivery, reason: str) -> Delivery:
        """It will not be made or shown to its end. ``reason`` is for ``/why`` and the operator, without what people said."""
        return await self._give_up(delivery, "failed", reason)

    async def cancel(self, delivery: Delivery) -> Delivery:
        """Somebody stopped it before there was anything worth keeping."""
        return await self._give_up(delivery, "cancelled", "")

    async def delivery_of(self, channel: ChannelKey, message_id: str) -> Delivery | None:
        """The reply that a platform's message shows; of several takes in one message, the chosen one."""
        here = (_pieces.c.channel == channel) & (_pieces.c.message_id == message_id)
        wanted = select(_replies).join(_pieces, _pieces.c.reply_id == _replies.c.id).where(here)
        return await self._first(wanted.order_by(_replies.c.chosen.desc(), _replies.c.id.desc()))

    async def last_delivery(self, channel: ChannelKey, character_id: str | None = None) -> Delivery | None:
        """The newest reply in the conversation, in its chosen take; of one character, if named. Hidden ones do not count."""
        # By the turns' own order, from the newest: by the replies', every reply of the channel was read and sorted to find the last.
        wanted = (
            select(_replies)
            .join(_turns, _turns.c.id == _replies.c.turn_id)
            .where(_turns.c.channel == channel, _replies.c.chosen.is_(True), _turns.c.hidden.is_(False))
        )
        if character_id is not None:
            wanted = wanted.where(_replies.c.character_id == character_id)
        return await self._first(wanted.order_by(_turns.c.id.desc()))

    async def deliveries(self, cause_id: int) -> list[Delivery]:
        """The replies to a turn by position, each in its first take: who had the word when the last process ended."""
        first_takes = select(_replies).where(_replies.c.cause_id == cause_id, _replies.c.take == 0).order_by(_replies.c.position)
        return await self._all(first_takes)

    async def takes(self, delivery: Delivery) -> list[Delivery]:
        """Every take of the same reply, the oldest first."""
        return await self._all(select(_replies).where(_same_reply(delivery)).order_by(_replies.c.take))

    async def next_take(self, delivery: Delivery) -> int:
        """The number of the take that would come next."""
        newest = select(func.max(_replies.c.take)).where(_same_reply(delivery))
        return await self._database.read(lambda c: c.execute(newest).scalar_one() or 0) + 1

    async def next_position(self, cause_id: int) -> int:
        """The position of the reply that would come next to this turn."""
        last = select(func.max(_replies.c.position)).where(_replies.c.cause_id == cause_id)
        position = await self._database.read(lambda c: c.execute(last).scalar_one())
        return 0 if position is None else position + 1

    async def choose(self, delivery: Delivery) -> Turn:
        """Let the conversation go on from this take; its turn now says what the take says.

        Raises:
            StoreError: the take was never finished.
        """

        def work(connection: Connection) -> Turn:
            row = self._in_state(connection, delivery, "be chosen", "final", "recorded")
            return self._choose(connection, row, _sent_ids(connection, row.id))

        return await self._database.write(work)

    async def shown_in(self, delivery: Delivery, sent_ids: Sequence[str]) -> None:
        """Which messages show this reply now, whatever take they show: another take may need more of them, or fewer."""

        def work(connection: Connection) -> None:
            row = connection.execute(_BY_ID, {"of": delivery.id}).one()
            takes = list(connection.execute(select(_replies.c.id).where(_same_reply(row), _replies.c.turn_id.is_not(None))).scalars())
            connection.execute(delete(_pieces).where(_pieces.c.reply_id.in_(takes)))
            where = {"channel": row.channel}
            rows = [{"reply_id": take, "piece": at, "message_id": sent, **where} for take in takes for at, sent in enumerate(sent_ids)]
            if rows:
                connection.execute(_pieces.insert(), rows)

        await self._database.write(work)

    async def unfinished(self, channel: ChannelKey | None = None) -> list[Delivery]:
        """Replies that the last process left half done although their turn counts as answered: further takes, mostly.

        Those whose turn is still ``heard`` come by way of ``pending``.
        """
        wanted = (
            select(_replies)
            .join(_turns, _turns.c.id == _replies.c.cause_id)
            .where(_replies.c.state.in_(UNFINISHED), _turns.c.state != "heard")
        )
        if channel is not None:
            wanted = wanted.where(_replies.c.channel == channel)
        # Sorted here: asked for in order, SQLite would rather read every reply of the channel than sort the few.
        return sorted(await self._all(wanted), key=lambda delivery: delivery.id)

    async def _give_up(self, delivery: Delivery, state: DeliveryState, reason: str) -> Delivery:
        def work(connection: Connection) -> Delivery:
            self._in_state(connection, delivery, f"become {state}", *UNFINISHED, state)
            row = self._changed(connection, delivery.id, state=state, reason=reason)
            return _delivery_of(row, _sent_ids(connection, row.id))

        return await self._database.write(work)

    async def _all(self, wanted: Select[Any]) -> list[Delivery]:
        return await self._database.read(lambda c: [_delivery_of(row, _sent_ids(c, row.id)) for row in c.execute(wanted).all()])

    async def _first(self, wanted: Select[Any]) -> Delivery | None:
        def work(connection: Connection) -> Delivery | None:
            row = connection.execute(wanted.limit(1)).first()
            return None if row is None else _delivery_of(row, _sent_ids(connection, row.id))

        return await self._database.read(work)

    def _in_state(self, connection: Connection, delivery: Delivery, what: str, *states: DeliveryState) -> Row[Any]:
        row = connection.execute(_BY_ID, {"of": delivery.id}).first()
        if row is None:
            raise StoreError(f"reply {delivery.id} is not there any more; somebody has had it forgotten")
        if row.state not in states:
            raise StoreError(f"reply {delivery.id} is {row.state} and cannot {what}; it would have to be {' or '.join(states)}")
        return row

    def _changed(self, connection: Connection, reply_id: int, **values: Any) -> Row[Any]:
        return connection.execute(_CHANGE, {"of": reply_id, "updated_at": self._now(), **values}).one()

    def _add_turn(self, connection: Connection, reply: Row[Any], message_id: str, text: str) -> int:
        cause = connection.execute(select(_turns).where(_turns.c.id == reply.cause_id)).one()
        now = self._now()
        said = {
            "channel": reply.channel,
            "message_id": message_id,
            "author_id": reply.character_id,
            "author_name": reply.character_name,
            "by_character": True,
            "text": text,
            "reply_to": cause.message_id,
            "answers": cause.answers or cause.id,
            "mentions": [],
            "direct": cause.direct,
            "sent_at": now,
            "stored_at": now,
            "state": "answered",
            "attempts": 0,
            "hidden": False,
        }
        turn_id: int = connection.execute(_turns.insert().returning(_turns.c.id), said).scalar_one()
        there = select(schema.presence.c.character_id).where(schema.presence.c.turn_id == cause.id)
        note_presence(connection, turn_id, [*connection.execute(there).scalars(), reply.character_id])
        return turn_id

    def _choose(self, connection: Connection, row: Row[Any], sent: Sequence[str]) -> Turn:
        connection.execute(update(_replies).where(_same_reply(row)).values(chosen=_replies.c.id == row.id))
        says = {"text": row.text, "message_id": sent[0], "edited_at": None}
        statement = update(_turns).where(_turns.c.id == row.turn_id).values(says).returning(*_turns.c)
        turn = connection.execute(statement).first()
        if turn is None:
            raise StoreError(f"the turn of reply {row.id} is not there any more; somebody has had it forgotten")
        return turn_of(turn)


def stamp_of(stored: dict[str, Any] | None) -> Stamp | None:
    """A stamp as it was stored, perhaps by an older version: what it lacks has its default, what is gone is left out."""
    if stored is None:
        return None
    known = {field.name for field in fields(Stamp)}
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items() if name in known}
    counted = {field.name for field in fields(Counters)}
    counters = Counters(**{name: value for name, value in stored.get("counters", {}).items() if name in counted})
    values["counters"] = counters
    return Stamp(**values)


def _delivery_of(row: Row[Any], sent_ids: tuple[str, ...]) -> Delivery:
    return Delivery(
        id=row.id,
        channel=row.channel,
        cause_id=row.cause_id,
        position=row.position,
        take=row.take,
        character_id=row.character_id,
        character_name=row.character_name,
        seed=row.seed,
        state=row.state,
        sent_ids=sent_ids,
        text=row.text,
        stamp=stamp_of(row.stamp),
        turn_id=row.turn_id,
        chosen=row.chosen,
        created_at=row.created_at,
        updated_at=row.updated_at,
        reason=row.reason,
    )


def _sent_ids(connection: Connection, reply_id: int) -> tuple[str, ...]:
    return tuple(connection.execute(_SENT_IDS, {"of": reply_id}).scalars())


def _same_reply(reply: Any) -> Any:
    """Every take beside this one, itself included."""
    return (_replies.c.cause_id == reply.cause_id) & (_replies.c.position == reply.position)
