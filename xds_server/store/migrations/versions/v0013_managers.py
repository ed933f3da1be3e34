"""The manager of each object, and what the API removed of the files' objects.

Existing objects belong to nobody yet. The first file that describes an object as it is becomes its manager. An
object that differs from the file, or is not in it, stays as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_COLUMNS = (
    ("organisation", "managed_by"),
    ("api_key", "managed_by"),
    ("route", "managed_by"),
    ("provider", "managed_by"),
    ("provider", "credentials_managed_by"),
)


def upgrade() -> None:
    """Adds the columns and the table."""
    for table, column in _COLUMNS:
        op.add_column(table, sa.Column(column, sa.String(), nullable=False, server_default=""))
    op.create_table(
        "removed_object",
        sa.Column("object_type", sa.String(), primary_key=True),
        sa.Column("object_name", sa.String(), primary_key=True),
        sa.Column("part", sa.String(), primary_key=True),
        sa.Column("managed_by", sa.String(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=False),
    )
