"""Lists the days that have records and no sums by day yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    """Creates the list, with the days of the position and after it."""
    op.create_table("usage_open_day", sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False))
    op.execute(
        "INSERT INTO usage_open_day (day) SELECT DISTINCT h.day FROM usage_series s CROSS JOIN usage_hour h "
        "WHERE s.group_id IS NOT NULL AND h.series_id = s.id "
        "AND h.day >= COALESCE((SELECT p.day FROM usage_day_position p), -1)"
    )
