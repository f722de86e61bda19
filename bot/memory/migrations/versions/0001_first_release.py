"""The tables of the first release.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "blocks",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True)),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("blocked_by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", "kind", "subject", name="blocks_key"),
    )
    op.create_table(
        "channels",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("awake", sa.JSON()),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("last_seen", sa.Text()),
        sa.PrimaryKeyConstraint("channel", name="channels_key"),
    )
    op.create_table(
        "characters",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("card", sa.JSON(), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("portrait", sa.LargeBinary()),
        sa.Column("creator", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="characters_key"),
        sa.UniqueConstraint("scope", "slug", name="characters_one_scope_slug"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "people",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("remember", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="people_key"),
    )
    op.create_table(
        "recaps",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("character_id", sa.Text(), nullable=False),
        sa.Column("up_to_turn", NUMBER, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="recaps_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("recaps_by_channel_character_id", "recaps", ["channel", "character_id"])
    op.create_table(
        "turns",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Text(), nullable=False),
        sa.Column("author_name", sa.Text(), nullable=False),
        sa.Column("by_character", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("reply_to", sa.Text()),
        sa.Column("answers", NUMBER),
        sa.Column("mentions", sa.JSON(), nullable=False),
        sa.Column("direct", sa.Boolean(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True)),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["answers"], ["turns.id"], name="turns_answers_is_in_turns", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="turns_key"),
        sa.UniqueConstraint("channel", "message_id", name="turns_one_channel_message_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("turns_by_answers", "turns", ["answers"])
    op.create_index("turns_by_author_id", "turns", ["author_id"])
    op.create_index("turns_by_channel_id", "turns", ["channel", "id"])
    op.create_index("turns_by_state", "turns", ["state"])
    op.create_table(
        "views",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("character_id", sa.Text(), nullable=False),
        sa.Column("after_turn", NUMBER, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", "character_id", name="views_key"),
    )
    op.create_table(
        "character_revisions",
        sa.Column("character_id", NUMBER, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("card", sa.JSON(), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["character_id"], ["characters.id"], name="character_revisions_character_id_is_in_characters", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("character_id", "revision", name="character_revisions_key"),
    )
    op.create_table(
        "consents",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("channel", sa.Text()),
        sa.Column("wording", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name="consents_person_id_is_in_people", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="consents_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("consents_by_person_id_kind", "consents", ["person_id", "kind"])
    op.create_table(
        "facts",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text()),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("character_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("source_turn_id", NUMBER),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["source_turn_id"], ["turns.id"], name="facts_source_turn_id_is_in_turns", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="facts_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("facts_by_character_id", "facts", ["character_id"])
    op.create_index("facts_by_person_id", "facts", ["person_id"])
    op.create_index("facts_by_source_turn_id", "facts", ["source_turn_id"])
    op.create_table(
        "presence",
        sa.Column("turn_id", NUMBER, nullable=False),
        sa.Column("character_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="presence_turn_id_is_in_turns", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("turn_id", "character_id", name="presence_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "replies",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("cause_id", NUMBER, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("take", sa.Integer(), nullable=False),
        sa.Column("character_id", sa.Text(), nullable=False),
        sa.Column("character_name", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("stamp", sa.JSON()),
        sa.Column("turn_id", NUMBER),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["cause_id"], ["turns.id"], name="replies_cause_id_is_in_turns", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="replies_turn_id_is_in_turns", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="replies_key"),
        sa.UniqueConstraint("cause_id", "position", "take", name="replies_one_cause_id_position_take"),
        sqlite_autoincrement=True,
    )
    op.create_index("replies_by_channel_id", "replies", ["channel", "id"])
    op.create_index("replies_by_state", "replies", ["state"])
    op.create_index("replies_by_turn_id", "replies", ["turn_id"])
    op.create_table(
        "pieces",
        sa.Column("reply_id", NUMBER, nullable=False),
        sa.Column("piece", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["reply_id"], ["replies.id"], name="pieces_reply_id_is_in_replies", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("reply_id", "piece", name="pieces_key"),
    )
    op.create_index("pieces_by_channel_message_id", "pieces", ["channel", "message_id"])
    op.create_table(
        "ratings",
        sa.Column("reply_id", NUMBER, nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["reply_id"], ["replies.id"], name="ratings_reply_id_is_in_replies", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("reply_id", "person_id", name="ratings_key"),
    )
    op.create_index("ratings_by_person_id", "ratings", ["person_id"])
