"""Identity providers whose access tokens are accepted instead of API keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    """Adds the gateway's column."""
    op.add_column("gateway", sa.Column("jwt", sa.Text(), nullable=False, server_default="[]"))
