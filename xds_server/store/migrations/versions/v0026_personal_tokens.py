"""Tokens for users' programs, and programs that wait for approval."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Makes the tables."""
    user = sa.ForeignKey("user_account.id", ondelete="CASCADE")
    op.create_table(
        "personal_token",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("user_id", sa.String(), user, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_personal_token_user_id", "personal_token", ["user_id"])
    op.create_table(
        "device_login",
        sa.Column("hash", sa.LargeBinary(), primary_key=True),
        sa.Column("user_code", sa.String(), nullable=False, unique=True),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
