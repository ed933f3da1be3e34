"""Adds the node that a join token admitted, and its key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds the columns; of tokens that were used before, both are empty."""
    op.add_column("join_token", sa.Column("node_id", sa.String(), nullable=False, server_default=""))
    op.add_column(
        "join_token", sa.Column("key_hash", sa.LargeBinary(), nullable=False, server_default=sa.text("''"))
    )
