"""The secrets that rotations of API keys have replaced."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Adds the columns; no key was rotated before."""
    # SQLite would take '' for text, which is not read as bytes.
    empty = sa.text("x''" if op.get_bind().dialect.name == "sqlite" else "''")
    op.add_column("api_key", sa.Column("former_hash", sa.LargeBinary(), nullable=False, server_default=empty))
    op.add_column("api_key", sa.Column("former_until", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("api_key", sa.Column("retired", sa.Text(), nullable=False, server_default="[]"))
