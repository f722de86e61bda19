"""What was said, who was there to hear it, and what is still to be answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast, get_args

from sqlalchemy import ColumnElement, Connection, Row, ScalarSelect, and_, delete, exists, func, or_, select, update

from bot.errors import StoreError
from bot.memory import people, schema
from bot.memory.part import Part
from bot.messages import ChannelKey, Incoming, Turn

TurnState = Literal["heard", "answered", "stale", "failed", "skipped"]

EVERYBODY = ""  # in ``views``: a reset for every character of the channel

_turns = schema.turns
# Where a turn stands in the conversation: a reply stands behind what it answers.
_standing: ColumnElement[int] = func.coalesce(_turns.c.answers, _turns.c.id)
_mark = _turns.alias()  # the turn that a history begins or ends with


@dataclass(frozen=True, slots=True)
class PendingTurn:
    """A person's turn that was stored and not yet answered to the end."""

    turn: Turn
    addressed: tuple[str, ...]  # ids of characters that the platform marked
    direct: bool
    attempts: int  # how often answering it was begun, as counted by ``count_attempt``


class Turns(Part):
    async def remember(
        self, incoming: Incoming, present: Sequence[str], state: TurnState = "heard", *, keep_words: bool = True
    ) -> Turn | None:
        """Store what somebody said, and that the characters with the ids ``present`` heard it.

        None: this message was stored before, and nothing has changed. Of two calls at the same time one gets the turn.

        ``keep_words=False`` stores the envelope alone (who, where, which message), which is all that is kept of a person
        who does not want to be remembered: enough to notice the message when it comes a second time. Such a turn is hidden
        from every history; the turn that is returned carries the words, for the running conversation.
        """

        def work(connection: Connection) -> Turn | None:
            now = self._now()
            people.seen(self._database, connection, incoming.author, now)
            said = {
                "channel": incoming.channel,
                "message_id": incoming.message_id,
                "author_id": incoming.author.id,
                "author_name": incoming.author.name if keep_words else "",
                "by_character": False,
                "text": incoming.text if keep_words else "",
                "reply_to": incoming.reply_to,
                "mentions": list(incoming.mentions),
                "direct": incoming.direct,
                "sent_at": incoming.sent_at,
                "stored_at": now,
                "state": _checked(state),
                "attempts": 0,
                "hidden": not keep_words,
            }
            unless_there = self._database.insert(_turns).on_conflict_do_nothing(index_elements=["channel", "message_id"])
            row = connection.execute(unless_there.returning(_turns.c.id), said).first()
            if row is None:
                return None
            note_presence(connection, row.id, present)
            return Turn(
                id=row.id,
                channel=incoming.channel,
                message_id=schema.storable(incoming.message_id),
                author_id=schema.storable(incoming.author.id),
                author_name=schema.storable(incoming.author.name),
                by_character=False,
                text=schema.storable(incoming.text),
                sent_at=incoming.sent_at,
                reply_to=incoming.reply_to,
            )

        return await self._database.write(work)

    async def turn(self, turn_id: int) -> Turn:
        """Raises ``StoreError`` when it is not there any more."""
        row = await self._database.read(lambda c: c.execute(select(_turns).where(_turns.c.id == turn_id)).first())
        if row is None:
            raise StoreError(f"turn {turn_id} is not there any more; somebody has had it forgotten")
        return turn_of(row)

    async def turn_by_message(self, channel: ChannelKey, message_id: str) -> Turn | None:
        """The turn that a platform's message belongs to; any message of a reply that was sent as several will do."""
        pieces, replies = schema.pieces, schema.replies

        def work(connection: Connection) -> Turn | None:
            row = connection.execute(select(_turns).where(_turns.c.channel == channel, _turns.c.message_id == message_id)).first()
            if row is None:
                row = connection.execute(
                    select(_turns)
                    .join(replies, replies.c.turn_id == _turns.c.id)
                    .join(pieces, pieces.c.reply_id == replies.c.id)
                    .where(pieces.c.channel == channel, pieces.c.message_id == message_id)
                ).first()
            return None if row is None else turn_of(row)

        return await self._database.read(work)

    async def history(
        self,
        channel: ChannelKey,
        character_id: str | None,
        *,
        limit: int,
        since: int | None = None,
        answering: int | None = None,
        before: int | None = None,
    ) -> list[Turn]:
        """The last ``limit`` turns, in the order of the conversation: a reply stands behind the turn that it answers.

        Hidden turns are left out. For a character only those it was there for and that came after its last reset; None
        gives everybody's.

        Args:
            channel: where.
            character_id: whose view.
            limit: how many at most.
            since: the id of the first turn to give.
            answering: the id of the turn that is to be answered; later ones are left out, earlier replies to it are not.
            before: the id of a turn; only those that stand before it.
        """

        def work(connection: Connection) -> list[Turn]:
            wanted = select(_turns).where(_turns.c.channel == channel, _turns.c.hidden.is_(False))
            # A turn's id is never below its standing. Said of the id too, but once only, a bound lets the index find the
            # beginning: with two of them SQLite took the wrong one and read 100,000 turns to give 41.
            if character_id is not None:
                reset = _reset_of(channel, character_id)
                wanted = wanted.where(_heard_by(character_id), _standing > reset)
                if since is None:
                    wanted = wanted.where(_turns.c.id > reset)
            if since is not None:
                first = _standing_of(since)
                wanted = wanted.where(_turns.c.id >= first, or_(_standing > first, and_(_standing == first, _turns.c.id >= since)))
            if answering is not None:
                wanted = wanted.where(_standing <= _standing_of(answering))
            if before is not None:
                end = _standing_of(before)
                wanted = wanted.where(or_(_standing < end, and_(_standing == end, _turns.c.id < before)))
            rows = connection.execute(wanted.order_by(_turns.c.id.desc()).limit(limit)).all()
            return [turn_of(row) for row in sorted(rows, key=lambda row: (row.answers or row.id, row.id))]

        return await self._database.read(work)

    async def heard_otherwise(self, channel: ChannelKey, message_id: str, author_id: str, sent_at: datetime, text: str) -> bool:
        """Whether the same words of the same moment are stored under another id; of unkept words, whether any are."""
        here = and_(_turns.c.channel == channel, _turns.c.author_id == author_id, _turns.c.sent_at == sent_at)
        same = here & (_turns.c.message_id != message_id) & _turns.c.text.in_([text, ""])
        return await self._database.read(lambda c: c.execute(select(_turns.c.id).where(same).limit(1)).first()) is not None

    async def set_state(self, turn_id: int, state: TurnState) -> None:
        statement = update(_turns).where(_turns.c.id == turn_id).values(state=_checked(state))
        await self._database.write(lambda c: c.execute(statement))

    async def count_attempt(self, turn_id: int) -> int:
        """One more try at answering; returns how many there have been. So a message that breaks its handler can be set aside."""
        statement = update(_turns).where(_turns.c.id == turn_id).values(attempts=_turns.c.attempts + 1).returning(_turns.c.attempts)
        return await self._database.write(lambda c: c.execute(statement).scalar_one_or_none() or 0)

    async def pending(self, channel: ChannelKey | None = None) -> list[PendingTurn]:
        """Turns that the last process left in the state ``heard``, oldest first. ``expire`` first takes out those that are too old."""
        left = (_turns.c.state == "heard") & (_turns.c.channel == channel if channel is not None else True)
        rows = await self._database.read(lambda c: c.execute(select(_turns).where(left).order_by(_turns.c.id)).all())
        return [_pending(row) for row in rows]

    async def edit_turn(self, channel: ChannelKey, message_id: str, text: str) -> bool:
        """Somebody changed a message. What a character had said at first stays with the reply.

        False: no such turn, or one whose words are not kept (they were erased, or their author wants it so).
        """
        here = and_(_turns.c.channel == channel, _turns.c.message_id == message_id, _turns.c.text != "")
        statement = update(_turns).where(here).values(text=text, edited_at=self._now()).returning(_turns.c.id)
        return await self._database.write(lambda c: bool(_untell(c, c.execute(statement).scalars())))

    async def hide_turns(self, turn_ids: Iterable[int], *, hidden: bool = True) -> int:
        """Leave turns out of every history, or bring them back. Returns how many there were."""
        statement = update(_turns).where(_turns.c.id.in_(list(turn_ids))).values(hidden=hidden).returning(_turns.c.id)
        return await self._database.write(lambda c: len(_untell(c, c.execute(statement).scalars())))

    async def erase_turns(self, channel: ChannelKey, message_ids: Iterable[str]) -> int:
        """Messages were deleted on the platform: their words go for good, in every take of a reply too. Returns how many.

        The envelope stays, so that the same message delivered once more is not taken for a new one.
        """
        replies = schema.replies
        here = and_(_turns.c.channel == channel, _turns.c.message_id.in_(list(message_ids)))

        def work(connection: Connection) -> int:
            ids = list(connection.execute(select(_turns.c.id).where(here)).scalars())
            connection.execute(update(_turns).where(_turns.c.id.in_(ids)).values(text="", hidden=True))
            connection.execute(update(replies).where(replies.c.turn_id.in_(ids)).values(text=""))
            return len(_untell(connection, ids))

        return await self._database.write(work)

    async def reset(self, channel: ChannelKey, character_id: str | None = None) -> None:
        """Let a character (None: every one) look at this channel from here on only. Nothing is deleted."""
        views = schema.views

        def work(connection: Connection) -> None:
            last = connection.execute(select(func.max(_turns.c.id)).where(_turns.c.channel == channel)).scalar_one()
            mark = {"after_turn": last or 0, "at": self._now()}
            connection.execute(
                self._database.insert(views)
                .values(channel=channel, character_id=EVERYBODY if character_id is None else character_id, **mark)
                .on_conflict_do_update(index_elements=["channel", "character_id"], set_=mark)
            )

        await self._database.write(work)


def _untell(connection: Connection, turn_ids: Iterable[int]) -> list[int]:
    """Recaps that may tell of these turns as they were go; they are made anew of what is there now. Gives the ids back."""
    ids, recaps = list(turn_ids), schema.recaps
    covers = select(_turns.c.id).where(_turns.c.id.in_(ids), _turns.c.channel == recaps.c.channel, _turns.c.id <= recaps.c.up_to_turn)
    connection.execute(delete(recaps).where(covers.exists()))
    return ids


def note_presence(connection: Connection, turn_id: int, present: Iterable[str]) -> None:
    rows = [{"turn_id": turn_id, "character_id": character_id} for character_id in sorted(set(present))]
    if rows:
        connection.execute(schema.presence.insert(), rows)


def looks_back_to(connection: Connection, channel: ChannelKey, character_id: str) -> int:
    """The last turn before the character's reset; 0 when there was none."""
    return connection.execute(select(_reset_of(channel, character_id))).scalar_one()


def turn_of(row: Row[Any]) -> Turn:
    return Turn(
        id=row.id,
        channel=row.channel,
        message_id=row.message_id,
        author_id=row.author_id,
        author_name=row.author_name,
        by_character=row.by_character,
        text=row.text,
        sent_at=row.sent_at,
        reply_to=row.reply_to,
    )


def _standing_of(turn_id: int) -> ColumnElement[int]:
    standing = select(func.coalesce(_mark.c.answers, _mark.c.id)).where(_mark.c.id == turn_id).scalar_subquery()
    return func.coalesce(standing, turn_id)  # a turn that was forgotten still marks its place


def _reset_of(channel: ChannelKey, character_id: str) -> ScalarSelect[int]:
    views = schema.views
    newest = select(func.coalesce(func.max(views.c.after_turn), 0))
    return newest.where(views.c.channel == channel, views.c.character_id.in_((character_id, EVERYBODY))).scalar_subquery()


def _heard_by(character_id: str) -> ColumnElement[bool]:
    presence = schema.presence
    return exists().where(presence.c.turn_id == _turns.c.id, presence.c.character_id == character_id)


def _pending(row: Row[Any]) -> PendingTurn:
    return PendingTurn(turn_of(row), tuple(row.mentions), row.direct, row.attempts)


def _checked(state: str) -> TurnState:
    assert state in get_args(TurnState), f"a turn cannot be {state!r}"
    return cast(TurnState, state)
