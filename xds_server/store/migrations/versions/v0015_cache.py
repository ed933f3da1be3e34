"""Who shares a route's cached answers, and how much of the cache they may take."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Adds the columns."""
    op.add_column("route", sa.Column("cache_scope", sa.String(), nullable=False, server_default="organisation"))
    op.add_column("route", sa.Column("cache_most_bytes", sa.BigInteger(), nullable=False, server_default="0"))
