"""Usage records that could not be stored, set aside."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "usage_refused",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("refused_at_us", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("source", "field", "reason")),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_index("ix_usage_refused_refused_at_us", "usage_refused", ["refused_at_us"])
