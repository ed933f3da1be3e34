"""Users, their memberships, their sessions, and the links by which they join."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Makes the tables; nobody has an account yet."""
    op.create_table(
        "user_account",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("email", sa.String(), nullable=False, unique=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "organisation_member",
        _of("organisation_id", "organisation", primary_key=True),
        _of("user_id", "user_account", primary_key=True),
        sa.Column("role", sa.String(), nullable=False),
    )
    op.create_table("key_owner", _of("key_id", "api_key", primary_key=True), _of("user_id", "user_account"))
    op.create_table(
        "user_session",
        sa.Column("hash", sa.LargeBinary(), primary_key=True),
        _of("user_id", "user_account"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "account_link",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("organisation_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "sign_in_guess",
        sa.Column("subject", sa.String(), primary_key=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
    )
    for table in ("organisation_member", "key_owner", "user_session"):
        op.create_index(f"ix_{table}_user_id", table, ["user_id"])
    op.create_index("ix_sign_in_guess_last_at", "sign_in_guess", ["last_at"])


def _of(column: str, table: str, *, primary_key: bool = False) -> sa.Column[str]:
    """Returns a reference that is deleted with the row that it refers to."""
    reference = sa.ForeignKey(f"{table}.id", ondelete="CASCADE")
    return sa.Column(column, sa.String(), reference, primary_key=primary_key, nullable=False)
