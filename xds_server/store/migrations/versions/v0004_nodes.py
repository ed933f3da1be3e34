"""Nodes, their join tokens, and what they contributed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Makes the tables, the counter of nodes' revisions, and the records' column of earnings."""
    _nodes()
    _contributions()
    op.execute("INSERT INTO revision (kind, value) VALUES ('nodes', 0)")


def _organisation() -> sa.Column[str]:
    owner = sa.ForeignKey("organisation.id", ondelete="CASCADE")
    return sa.Column("organisation_id", sa.String(), owner, nullable=False)


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _flags(*names: str) -> list[sa.Column[bool]]:
    return [sa.Column(name, sa.Boolean(), nullable=False) for name in names]


def _nodes() -> None:
    op.create_table(
        "node",
        sa.Column("id", sa.String(), primary_key=True),
        _organisation(),
        *_text("owner_key_id", "name", "visibility"),
        *_flags("approved", "drained"),
        sa.Column("boost", sa.Integer(), nullable=False),
        *_counts("created_at", "removed_at", "version"),
    )
    present = sa.text("removed_at = 0")
    op.create_index(
        "node_name",
        "node",
        ["organisation_id", "name"],
        unique=True,
        sqlite_where=present,
        postgresql_where=present,
    )
    op.create_table(
        "join_token",
        sa.Column("id", sa.String(), primary_key=True),
        _organisation(),
        *_text("owner_key_id", "name", "visibility"),
        *_flags("require_approval"),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        *_counts("created_at", "expires_at", "used_at"),
    )


def _contributions() -> None:
    op.create_table(
        "node_uptime",
        sa.Column("hour", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("node_id", sa.String(), primary_key=True),
        *_counts("seconds"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_node",
        sa.Column("hour", sa.Integer(), primary_key=True, autoincrement=False),
        *(
            sa.Column(name, sa.String(), primary_key=True)
            for name in ("node_id", "model", "organisation_id", "owner_key_id")
        ),
        *_counts("requests", "errors", "prompt_tokens", "completion_tokens", "earned_micro_usd"),
        sqlite_with_rowid=False,
    )
    op.add_column(
        "usage_record", sa.Column("earned_micro_usd", sa.BigInteger(), nullable=False, server_default="0")
    )
