"""The last reports of nodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "node_live",
        sa.Column("node_id", sa.String(), primary_key=True),
        sa.Column("report", sa.LargeBinary(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("departed", sa.Boolean(), nullable=False),
    )
