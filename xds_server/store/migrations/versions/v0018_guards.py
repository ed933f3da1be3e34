"""The context of each target, and the price that one request of a key may have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Adds the columns: no target and no key has had a bound."""
    for table, column in (("target", "context"), ("api_key", "max_price")):
        op.add_column(table, sa.Column(column, sa.BigInteger(), nullable=False, server_default="0"))
