"""The tables, as the newest migration leaves them, and the column types that keep rows portable.

A test compares this page with what the migrations build, so the two cannot drift apart. Types are chosen so that the
same statements run on SQLite and PostgreSQL; allowed values (states, kinds) are checked in code and not by the
database, because SQLite can only change such a check by rebuilding the table.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from bot.messages import ChannelKey

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """The text as both databases can hold it: halves of a surrogate pair are joined, what stays alone becomes U+FFFD.

    SQLite refuses lone surrogates (they have no UTF-8 form), PostgreSQL refuses NUL as well.
    """
    if not _UNSTORABLE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\x00", "\ufffd")


class Words(TypeDecorator[str]):
    """Text that strangers wrote."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class Moment(TypeDecorator[datetime]):
    """An instant, kept in UTC and given back aware; SQLite has no time zones of its own."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} does not say its time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Key(TypeDecorator[ChannelKey]):
    """A channel, as the one string that DESIGN names it by."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: ChannelKey | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(str(value))

    def process_result_value(self, value: Any | None, dialect: Dialect) -> ChannelKey | None:
        return None if value is None else ChannelKey.parse(value)


# Constraint names are fixed, because a later migration can only drop what it can name.
metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "uq": "%(table_name)s_one_%(column_0_N_name)s",
        "fk": "%(table_name)s_%(column_0_N_name)s_is_in_%(referred_table_name)s",
        "pk": "%(table_name)s_key",
    }
)

# Row numbers are BIGINT on PostgreSQL; SQLite counts by itself only in a column that is exactly INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")


def _number() -> Column[int]:
    return Column("id", Number, primary_key=True, autoincrement=True)


# A number once given is never given again (sqlite_autoincrement): markers such as recaps.up_to_turn must not come to
# mean another turn after somebody's turns were deleted.
turns = Table(
    "turns",
    metadata,
    _number(),
    Column("channel", Key, nullable=False),
    Column("message_id", Words, nullable=False),
    Column("author_id", Words, nullable=False),
    Column("author_name", Words, nullable=False),
    Column("by_character", Boolean, nullable=False),
    Column("text", Words, nullable=False),
    Column("reply_to", Words),
    # A character's turn stands in the conversation behind the turn that it answers, though others may have spoken
    # while it was being made. A later prompt then begins with what the earlier one began with, and ended in.
    Column("answers", ForeignKey("turns.id", ondelete="SET NULL")),
    Column("mentions", JSON, nullable=False),  # ids of characters that the platform marked as addressed
    Column("direct", Boolean, nullable=False),
    Column("sent_at", Moment, nullable=False),
    Column("stored_at", Moment, nullable=False),
    Column("edited_at", Moment),
    Column("state", Text, nullable=False),  # heard | answered | stale | failed | skipped
    Column("attempts", Integer, nullable=False),
    Column("hidden", Boolean, nullable=False),
    UniqueConstraint("channel", "message_id"),
    Index("turns_by_channel_id", "channel", "id"),
    Index("turns_by_channel_sent_at", "channel", "sent_at"),
    Index("turns_by_state_channel", "state", "channel"),
    Index("turns_by_answers", "answers"),
    Index("turns_by_author_id", "author_id"),
    sqlite_autoincrement=True,
)

presence = Table(
    "presence",
    metadata,
    Column("turn_id", ForeignKey(turns.c.id, ondelete="CASCADE"), primary_key=True),
    Column("character_id", Words, primary_key=True),
    sqlite_with_rowid=False,
)

channels = Table(
    "channels",
    metadata,
    Column("channel", Key, primary_key=True),
    Column("awake", JSON(none_as_null=True)),  # ids in the order in which they came; null: nobody has chosen here yet
    Column("place", Words, nullable=False),  # where the conversation plays; "" when nobody has said
    Column("settings", JSON, nullable=False),
    Column("last_seen", Words),  # the platform's id of the newest message that was read
)

# From where a character looks back; character_id "" stands for every character of the channel.
views = Table(
    "views",
    metadata,
    Column("channel", Key, primary_key=True),
    Column("character_id", Words, primary_key=True),
    Column("after_turn", Number, nullable=False),
    Column("at", Moment, nullable=False),
)

replies = Table(
    "replies",
    metadata,
    _number(),
    Column("channel", Key, nullable=False),
    Column("cause_id", ForeignKey(turns.c.id, ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),  # the first, second … to answer that turn
    Column("take", Integer, nullable=False),  # 0, then one more for each regenerate
    Column("character_id", Words, nullable=False),
    Column("character_name", Words, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # claimed | opened | final | recorded | failed | cancelled
    Column("reason", Words, nullable=False),  # why it failed
    Column("text", Words, nullable=False),
    Column("stamp", JSON(none_as_null=True)),
    Column("turn_id", ForeignKey(turns.c.id, ondelete="SET NULL")),
    Column("chosen", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    UniqueConstraint("cause_id", "position", "take"),
    Index("replies_by_state_channel", "state", "channel"),
    Index("replies_by_turn_id", "turn_id"),
    Index("replies_by_channel_id", "channel", "id"),
    sqlite_autoincrement=True,
)

# One row for each message that a reply was sent as. Takes of one reply share messages, so a message may have several.
pieces = Table(
    "pieces",
    metadata,
    Column("reply_id", ForeignKey(replies.c.id, ondelete="CASCADE"), primary_key=True),
    Column("piece", Integer, primary_key=True),
    Column("channel", Key, nullable=False),
    Column("message_id", Words, nullable=False),
    Index("pieces_by_channel_message_id", "channel", "message_id"),
)

people = Table(
    "people",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("first_seen", Moment, nullable=False),
    Column("last_seen", Moment, nullable=False),
    Column("remember", Boolean, nullable=False),  # the newest consent of that kind, for the path of every message
)

# Append-only: a withdrawal is a new row.
consents = Table(
    "consents",
    metadata,
    _number(),
    Column("person_id", ForeignKey(people.c.id, ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),  # remember | train
    Column("granted", Boolean, nullable=False),
    Column("at", Moment, nullable=False),
    Column("channel", Key),
    Column("wording", Words, nullable=False),  # which text the person was shown
    Index("consents_by_person_id_kind", "person_id", "kind"),
    sqlite_autoincrement=True,
)

facts = Table(
    "facts",
    metadata,
    _number(),
    Column("channel", Key),  # null: in every channel
    Column("person_id", Words, nullable=False),
    Column("character_id", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("source_turn_id", ForeignKey(turns.c.id, ondelete="SET NULL")),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index("facts_by_person_id", "person_id"),
    Index("facts_by_character_id", "character_id"),
    Index("facts_by_source_turn_id", "source_turn_id"),
    sqlite_autoincrement=True,
)

recaps = Table(
    "recaps",
    metadata,
    _number(),
    Column("channel", Key, nullable=False),
    Column("character_id", Words, nullable=False),
    Column("up_to_turn", Number, nullable=False),
    Column("text", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index("recaps_by_channel_character_id", "channel", "character_id"),
    sqlite_autoincrement=True,
)

characters = Table(
    "characters",
    metadata,
    _number(),
    Column("scope", Words, nullable=False),
    Column("slug", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("card", JSON, nullable=False),
    Column("lines", JSON, nullable=False),
    Column("portrait", LargeBinary),
    Column("creator", Words, nullable=False),  # a person's id
    Column("revision", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    UniqueConstraint("scope", "slug"),
    sqlite_autoincrement=True,
)

character_revisions = Table(
    "character_revisions",
    metadata,
    Column("character_id", ForeignKey(characters.c.id, ondelete="CASCADE"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("name", Words, nullable=False),
    Column("card", JSON, nullable=False),
    Column("lines", JSON, nullable=False),
    Column("changed_by", Words, nullable=False),
    Column("at", Moment, nullable=False),
)

# Whose messages a registered character is made from, and what they said to that. One row for each name that was asked about.
likenesses = Table(
    "likenesses",
    metadata,
    _number(),
    Column("person_id", Words, nullable=False),
    Column("scope", Words, nullable=False),
    Column("name", Words, nullable=False),  # as it is to be shown
    Column("slug", Words),  # of the character, once it is made
    Column("asked_by", Words, nullable=False),  # a person's id
    Column("asked_at", Moment, nullable=False),
    Column("state", Text, nullable=False),  # asked | agreed | refused
    Column("answered_at", Moment),
    Column("channel", Key),  # where it was answered
    Column("wording", Words, nullable=False),  # which text the person was shown; "" before they answer
    UniqueConstraint("person_id", "scope", "name"),
    Index("likenesses_by_scope_slug", "scope", "slug"),
    sqlite_autoincrement=True,
)

ratings = Table(
    "ratings",
    metadata,
    Column("reply_id", ForeignKey(replies.c.id, ondelete="CASCADE"), primary_key=True),
    Column("person_id", Words, primary_key=True),
    Column("value", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Index("ratings_by_person_id", "person_id"),
)

signals = Table(
    "signals",
    metadata,
    _number(),
    Column("reply_id", ForeignKey(replies.c.id, ondelete="CASCADE"), nullable=False),
    Column("person_id", Words, nullable=False),  # who did it
    Column("kind", Text, nullable=False),  # edit | hide | report | choose | settle
    Column("at", Moment, nullable=False),
    Index("signals_by_reply_id", "reply_id"),
    Index("signals_by_person_id", "person_id"),
    sqlite_autoincrement=True,
)

blocks = Table(
    "blocks",
    metadata,
    Column("scope", Words, primary_key=True),
    Column("kind", Text, primary_key=True),  # user | role | channel
    Column("subject", Words, primary_key=True),
    Column("until", Moment),
    Column("reason", Words, nullable=False),
    Column("blocked_by", Words, nullable=False),
    Column("at", Moment, nullable=False),
)
