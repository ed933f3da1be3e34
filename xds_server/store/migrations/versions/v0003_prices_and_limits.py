"""Price histories of targets; limits and reservations of routes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Makes the histories, each begun with the price that its target has, and the routes' columns."""
    op.create_table(
        "target_price",
        sa.Column("route_id", sa.String(), sa.ForeignKey("route.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("target_id", sa.String(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("input", sa.BigInteger(), nullable=False),
        sa.Column("output", sa.BigInteger(), nullable=False),
        sa.Column("cached_input", sa.BigInteger(), nullable=True),
        sa.Column("request", sa.BigInteger(), nullable=False),
    )
    op.execute(
        "INSERT INTO target_price (route_id, target_id, version, valid_from, input, output, request) "
        "SELECT route_id, COALESCE(provider, 'nodes') || '/' || model, 1, 0, price_input, price_output, 0 "
        "FROM target WHERE price_input > 0 OR price_output > 0"
    )
    op.drop_column("target", "price_input")
    op.drop_column("target", "price_output")
    op.add_column("route", sa.Column("limits", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("route", sa.Column("reserved_output_tokens", sa.Integer(), nullable=False, server_default="0"))
