"""How translators authenticate at the store of cached answers, and the CA that they trust there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Adds the columns."""
    op.add_column("gateway", sa.Column("ca_file", sa.String(), nullable=False, server_default=""))
    op.add_column("gateway", sa.Column("cache_password", sa.LargeBinary(), nullable=False, server_default=""))
