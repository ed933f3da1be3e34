"""Indexes of requests by their outcome and by their user, which the control plane fills in the background."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    """Makes the tables. Every block that is stored now is still to be indexed."""
    op.create_table(
        "usage_user",
        sa.Column("bucket", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("since_us", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_user_position",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "usage_outcome",
        sa.Column("outcome", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("started_at_us", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("series_id", sa.BigInteger(), nullable=False),
        sa.Column("user_hash", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_outcome_position",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("last_block", sa.BigInteger(), nullable=False),
    )
    op.execute(
        "INSERT INTO usage_outcome_position (id, hour, block, last_block) "
        "SELECT 1, newest.hour + 1, 0, newest.id FROM "
        "(SELECT MAX(hour) AS hour, MAX(id) AS id FROM usage_block) AS newest WHERE newest.id IS NOT NULL"
    )
