"""Where the answers of all caching routes are stored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Adds the columns."""
    op.add_column("gateway", sa.Column("store", sa.String(), nullable=False, server_default="memory"))
    op.add_column("gateway", sa.Column("most_bytes", sa.BigInteger(), nullable=False, server_default="0"))
