"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_APPEND_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER audit_event_no_{verb} BEFORE {verb} ON audit_event "
        "BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END"
        for verb in ("update", "delete")
    ],
    "postgresql": [
        """CREATE FUNCTION trunkline_append_only() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'audit events are append-only'; END $$""",
        """CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
        FOR EACH STATEMENT EXECUTE FUNCTION trunkline_append_only()""",
    ],
}


def upgrade() -> None:
    """Makes the tables, their triggers and the revision counters."""
    revisions = op.create_table(
        "revision",
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "setting",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
    _owners()
    _routing()
    _audit()
    op.bulk_insert(
        revisions,
        [{"kind": kind, "value": 0} for kind in ("state", "providers", "routes", "organisations", "keys")],
    )


def _owners() -> None:
    op.create_table(
        "organisation",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("limits", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column(
            "organisation_id", sa.String(), sa.ForeignKey("organisation.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("models", sa.Text(), nullable=False),
        sa.Column("limits", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
    )
    not_revoked = sa.text("revoked_at = 0")
    for name, columns in (("api_key_name", ["organisation_id", "name"]), ("api_key_hash", ["hash"])):
        op.create_index(
            name, "api_key", columns, unique=True, sqlite_where=not_revoked, postgresql_where=not_revoked
        )


def _routing() -> None:
    op.create_table(
        "provider",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("dialect", sa.String(), nullable=False),
        sa.Column("base_url", sa.String(), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=False),
        sa.Column("ca_file", sa.String(), nullable=False),
        sa.Column("stream_usage", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "route",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column(
            "organisation_id", sa.String(), sa.ForeignKey("organisation.id", ondelete="CASCADE"), nullable=True
        ),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("first_byte_ms", sa.Integer(), nullable=False),
        sa.Column("idle_ms", sa.Integer(), nullable=False),
        sa.Column("connect_ms", sa.Integer(), nullable=False),
        sa.Column("cache_ttl_seconds", sa.Integer(), nullable=False),
        sa.Column("privacy", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
    )
    everybody = sa.text("organisation_id IS NULL")
    op.create_index(
        "route_global_model", "route", ["model"], unique=True, sqlite_where=everybody, postgresql_where=everybody
    )
    op.create_index("route_organisation_model", "route", ["organisation_id", "model"], unique=True)
    op.create_table(
        "target",
        sa.Column("route_id", sa.String(), sa.ForeignKey("route.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("provider", sa.String(), sa.ForeignKey("provider.name", ondelete="RESTRICT"), nullable=True),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=False),
        sa.Column("price_input", sa.BigInteger(), nullable=False),
        sa.Column("price_output", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_target_provider", "target", ["provider"])


def _audit() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object_type", sa.String(), nullable=False),
        sa.Column("object_name", sa.String(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.create_index("audit_event_object", "audit_event", ["object_type", "object_name", "id"])
    for statement in _APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(sa.text(statement))
