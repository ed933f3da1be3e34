"""Limit alerts, and the webhook that they are sent to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Adds the table and the gateway's columns."""
    op.add_column("gateway", sa.Column("webhook", sa.String(), nullable=False, server_default=""))
    empty = sa.text("''")
    op.add_column("gateway", sa.Column("secret", sa.LargeBinary(), nullable=False, server_default=empty))
    op.create_table(
        "limit_alert",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("reached_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("limit_alert_due", "limit_alert", ["delivery", "next_at"])
