"""Money in nano-USD: sums are multiplied by a thousand. Blocks stay as they are, and are read in either unit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

#: (table, column of micro-USD, column of nano-USD, the most that a value may be in micro-USD). What is added up is
#: held to a million USD in an hour: a record could claim a thousand times as much, and 64 bits would not do.
_COLUMNS = (
    ("usage_block", "cost_micro_usd", "cost_nano_usd", 10**15),
    ("usage_hour", "cost_micro_usd", "cost_nano_usd", 10**12),
    ("usage_node", "earned_micro_usd", "earned_nano_usd", 10**12),
)


def upgrade() -> None:
    """Renames the columns; indices follow."""
    for table, micro, nano, most in _COLUMNS:
        op.execute(sa.text(f"ALTER TABLE {table} RENAME COLUMN {micro} TO {nano}"))
        op.execute(
            sa.text(
                f"UPDATE {table} SET {nano} = "  # noqa: S608
                f"CASE WHEN {nano} > {most} THEN {most} ELSE {nano} END * 1000 WHERE {nano} <> 0"
            )
        )
