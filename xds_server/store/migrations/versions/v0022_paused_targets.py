"""Targets that keep their place in a route without being tried."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Adds the column: no target has been paused."""
    op.add_column("target", sa.Column("paused", sa.Boolean(), nullable=False, server_default=sa.false()))
