"""An index of requests by their ids, which the control plane fills in the background (ledger.request_ids)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "usage_id",
        sa.Column("bucket", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("since_us", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_id_position",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
    )
