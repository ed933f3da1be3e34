"""Quotas of providers' credentials, and health checks of providers: existing ones have neither."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Adds the columns."""
    for column in ("quota", "credential_quotas", "health_statuses"):
        op.add_column("provider", sa.Column(column, sa.Text(), nullable=False, server_default="[]"))
    op.add_column("provider", sa.Column("health_path", sa.String(), nullable=False, server_default=""))
    op.add_column("provider", sa.Column("health_every_seconds", sa.Integer(), nullable=False, server_default="0"))
