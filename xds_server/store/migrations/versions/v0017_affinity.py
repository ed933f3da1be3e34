"""What keeps the requests of one conversation or user together.

Routes get the default: their conversations keep a machine within a pool.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Adds the column."""
    op.add_column("route", sa.Column("affinity", sa.String(), nullable=False, server_default="pool"))
