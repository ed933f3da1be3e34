"""Who made a link or an invitation of a node. Those from before belong to the installation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    """Adds the columns."""
    for table in ("account_link", "join_token"):
        op.add_column(table, sa.Column("created_by", sa.String(), nullable=False, server_default=""))
        op.create_index(f"ix_{table}_created_by", table, ["created_by"])
