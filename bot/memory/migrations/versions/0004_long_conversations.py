"""What is left to do in a channel, and the same words of the same moment, are found without reading all that was said in it.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("turns_by_channel_sent_at", "turns", ["channel", "sent_at"])
    for table in ("turns", "replies"):
        op.drop_index(f"{table}_by_state", table)
        op.create_index(f"{table}_by_state_channel", table, ["state", "channel"])
