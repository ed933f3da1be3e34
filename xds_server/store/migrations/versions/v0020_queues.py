"""Queues of full routes: their times and lengths, organisations' weights and keys' priorities.

Existing routes have no queue, and nobody has priority over another.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Adds the columns."""
    for table, column in (("route", "queue_longest_ms"), ("route", "queue_size"), ("organisation", "weight")):
        op.add_column(table, sa.Column(column, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("api_key", sa.Column("priority", sa.String(), nullable=False, server_default="normal"))
