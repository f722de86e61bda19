"""Who changed, hid or reported a reply.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "signals",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("reply_id", NUMBER, nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["reply_id"], ["replies.id"], name="signals_reply_id_is_in_replies", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="signals_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("signals_by_reply_id", "signals", ["reply_id"])
    op.create_index("signals_by_person_id", "signals", ["person_id"])
