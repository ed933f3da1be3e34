"""Usage records and their roll-ups; the audit log's hash chain, including events stored before it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from xds_server.store.audit_chain import GENESIS, ChainEntry, link

revision = "0002"
down_revision = "0001"

#: The triggers that refuse changes are dropped while the stored events get their hashes.
ALLOW_CHANGES = {
    "sqlite": ["DROP TRIGGER audit_event_no_update"],
    "postgresql": ["DROP TRIGGER audit_event_append_only ON audit_event"],
}
REFUSE_CHANGES = {
    "sqlite": [
        """CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event
        BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END""",
    ],
    "postgresql": [
        """CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
        FOR EACH STATEMENT EXECUTE FUNCTION trunkline_append_only()""",
    ],
}
_PAGE = 1_000
#: The fields that were hashed then.
_CHAINED = "id, at_us, revision, actor, action, object_type, object_name, before, after"


def upgrade() -> None:
    """Makes the ledger's tables and chains the audit log."""
    _records()
    _rollups()
    _chain()


def _auto_id(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _integers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _records() -> None:
    op.create_table(
        "usage_record",
        _auto_id("seq"),
        sa.Column("id", sa.String(), nullable=False, unique=True),
        *_counts("started_at_us"),
        *_integers("hour"),
        *_text("organisation_id", "key_id", "route_id", "model", "target_id", "provider", "node_id"),
        *_integers("attempts", "status"),
        *_text("response_flags"),
        *_counts(
            "request_bytes",
            "response_bytes",
            "first_byte_us",
            "duration_us",
            "prompt_tokens",
            "cached_tokens",
            "completion_tokens",
            "reasoning_tokens",
            "tokens",
            "cost_micro_usd",
            "price_version",
        ),
        *(
            sa.Column(name, sa.Boolean(), nullable=False)
            for name in ("cache_hit", "estimated", "expired", "stream")
        ),
        *_text("end_user", "tag"),
        sa.Column("failed_attempts", sa.Text(), nullable=False),
    )
    op.create_index("usage_record_time", "usage_record", ["started_at_us", "seq"])
    for name, column in (("cost", "cost_micro_usd"), ("tokens", "tokens"), ("duration", "duration_us")):
        op.create_index(f"usage_record_{name}", "usage_record", ["hour", column])


def _rollups() -> None:
    op.create_table(
        "usage_series",
        _auto_id("id"),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        *_text("organisation_id", "key_id", "route_id", "model", "target_id", "provider", "tag"),
        *_integers("last_hour"),
    )
    op.create_table(
        "usage_hour",
        sa.Column("series_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("hour", sa.Integer(), primary_key=True, autoincrement=False),
        *_counts(
            "requests",
            "errors",
            "retries",
            "prompt_tokens",
            "cached_tokens",
            "completion_tokens",
            "reasoning_tokens",
            "cost_micro_usd",
            "estimated",
            "cache_hits",
            "failed_attempts",
            "answer_tokens",
            "answer_us",
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_first_byte",
        sa.Column("series_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("hour", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("histogram", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_tag",
        sa.Column("hour", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("organisation_id", sa.String(), primary_key=True),
        sa.Column("tag", sa.String(), primary_key=True),
        sqlite_with_rowid=False,
    )


def _chain() -> None:
    connection = op.get_bind()
    dialect = connection.dialect.name
    for statement in ALLOW_CHANGES[dialect]:
        op.execute(sa.text(statement))
    # SQLite adds a NOT NULL column only with a default; no link of the chain is empty.
    empty = sa.text("x''" if dialect == "sqlite" else "''::bytea")
    op.add_column("audit_event", sa.Column("hash", sa.LargeBinary(), nullable=False, server_default=empty))
    if dialect != "sqlite":
        op.alter_column("audit_event", "hash", server_default=None)
    page = sa.text(f"SELECT {_CHAINED} FROM audit_event WHERE id > :last ORDER BY id LIMIT {_PAGE}")  # noqa: S608
    last, previous = 0, GENESIS
    while rows := connection.execute(page, {"last": last}).all():
        for row in rows:
            entry = ChainEntry(*row)
            last, previous = entry.id, link(previous, entry)
            connection.execute(
                sa.text("UPDATE audit_event SET hash = :hash WHERE id = :id"), {"hash": previous, "id": last}
            )
    for statement in REFUSE_CHANGES[dialect]:
        op.execute(sa.text(statement))
