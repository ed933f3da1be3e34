"""Help for providers' prompt caches. Existing routes have none: their bodies pass unchanged, byte for byte."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Adds the columns."""
    op.add_column("route", sa.Column("prompt_cache_key", sa.String(), nullable=False, server_default="none"))
    off = sa.false()
    op.add_column(
        "route", sa.Column("prompt_cache_stable_order", sa.Boolean(), nullable=False, server_default=off)
    )
