"""Settings of the clients' listener as a whole: which origins browsers may call from, and default models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Adds the table, which is empty until it is written, and the counter of its changes."""
    op.create_table(
        "gateway",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("origins", sa.Text(), nullable=False),
        sa.Column("max_age_seconds", sa.BigInteger(), nullable=False),
        sa.Column("defaults", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("managed_by", sa.String(), nullable=False),
    )
    op.execute("INSERT INTO revision (kind, value) VALUES ('gateway', 0)")
