"""The credential of a provider to which the measurements of a slot belong; for existing slots, the first one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Adds the column."""
    op.add_column("routing_slot", sa.Column("credential_index", sa.Integer(), nullable=False, server_default="0"))
