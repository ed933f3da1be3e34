"""The measurements that rank targets: slots, each tier's best target, the weight of time against money."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Makes the tables, and adds the column; no route had the strategy `balanced` before."""
    op.add_column("route", sa.Column("balance", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "routing_slot",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("slot", sa.BigInteger(), nullable=False),
        sa.Column("route_id", sa.String(), nullable=False),
        sa.Column("target_id", sa.String(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_index("ix_routing_slot_slot", "routing_slot", ["slot"])
    op.create_table(
        "routing_best",
        sa.Column("route_id", sa.String(), primary_key=True),
        sa.Column("tier", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("target_id", sa.String(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
    )
