"""Each section of the gateway has a manager of its own."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"

#: Sections, and the values of their columns that are none.
_EMPTY: dict[str, dict[str, object]] = {
    "cors": {"origins": "[]", "max_age_seconds": 0},
    "defaults": {"defaults": "[]"},
    "cache": {"store": "memory", "most_bytes": 0, "ca_file": "", "cache_password": b""},
    "alerts": {"webhook": "", "secret": b""},
    "accounts": {"console_url": "", "sso_only": False},
    "oidc": {"oidc": "[]"},
    "jwt": {"jwt": "[]"},
}


def upgrade() -> None:
    """Gives the sections that say something to the gateway's manager; the others are free."""
    op.add_column("gateway", sa.Column("managers", sa.Text(), nullable=False, server_default="[]"))
    connection = op.get_bind()
    for row in connection.execute(sa.text("SELECT * FROM gateway")).mappings().all():
        managers = [
            [section, row["managed_by"]]
            for section, columns in _EMPTY.items()
            if row["managed_by"] and any(_value(row[name]) != empty for name, empty in columns.items())
        ]
        connection.execute(
            sa.text("UPDATE gateway SET managers = :managers WHERE id = :id"),
            {"managers": json.dumps(managers, separators=(",", ":")), "id": row["id"]},
        )
    op.drop_column("gateway", "managed_by")


def _value(stored: object) -> object:
    """Converts the memoryview that some drivers return for bytes."""
    return bytes(stored) if isinstance(stored, memoryview) else stored
