"""Keys whose requests may name one target of a route."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """Adds the column: no existing key may do so."""
    op.add_column("api_key", sa.Column("pins_targets", sa.Boolean(), nullable=False, server_default=sa.false()))
