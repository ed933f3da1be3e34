"""Sums by day, in addition to those by hour.

The control plane fills them in the background (xds_server.ledger.daily).
"""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa
from alembic import op

from xds_server.store.migrations.progress import report

revision = "0031"
down_revision = "0030"

_SUMS = (
    "requests",
    "errors",
    "retries",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cost_nano_usd",
    "estimated",
    "cache_hits",
    "failed_attempts",
    "answer_tokens",
    "answer_us",
)
_NEVER_OLD = 2**31 - 1
#: Series of one statement.
_PORTION = 1_000


def upgrade() -> None:
    """Makes the tables, and the series by organisation and model that the daily sums have in addition."""
    for name, columns in (
        ("usage_day", [sa.Column(each, sa.BigInteger(), nullable=False) for each in _SUMS]),
        ("usage_day_unit", [_key("unit", sa.String()), sa.Column("amount", sa.BigInteger(), nullable=False)]),
        ("usage_day_first_byte", [sa.Column("histogram", sa.LargeBinary(), nullable=False)]),
    ):
        op.create_table(
            name,
            _key("series_id", sa.BigInteger()),
            _key("day", sa.Integer()),
            *columns,
            sqlite_with_rowid=False,
        )
    op.create_table(
        "usage_day_position",
        _key("id", sa.Integer()),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("series_id", sa.BigInteger(), nullable=False),
    )
    op.add_column("usage_series", sa.Column("group_id", sa.BigInteger(), nullable=True))
    _group()


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _group() -> None:
    connection = op.get_bind()
    series = sa.table(
        "usage_series",
        *(sa.column(name) for name in ("id", "digest", "organisation_id", "model", "last_hour", "group_id")),
        *(sa.column(name) for name in ("key_id", "route_id", "target_id", "provider", "tag")),
    )
    rows = connection.execute(sa.select(series.c.id, series.c.organisation_id, series.c.model)).all()
    ids: dict[tuple[str, str], int] = {}
    for organisation_id, model in sorted({(each.organisation_id, each.model) for each in rows}):
        digest = _digest(organisation_id, model)
        empty = dict.fromkeys(("key_id", "route_id", "target_id", "provider", "tag"), "")
        connection.execute(
            series.insert().values(
                digest=digest, organisation_id=organisation_id, model=model, last_hour=_NEVER_OLD, **empty
            )
        )
        found = connection.execute(sa.select(series.c.id).where(series.c.digest == digest)).scalar_one()
        ids[organisation_id, model] = found
    update = series.update().where(series.c.id == sa.bindparam("of")).values(group_id=sa.bindparam("group"))
    for start in range(0, len(rows), _PORTION):
        report(start, len(rows))
        connection.execute(
            update,
            [
                {"of": each.id, "group": ids[each.organisation_id, each.model]}
                for each in rows[start : start + _PORTION]
            ],
        )


def _digest(organisation_id: str, model: str) -> bytes:
    """Returns the same as rollup.Series.group_digest."""
    parts = [each.encode() for each in (organisation_id, "", "", model, "", "", "")]
    lengths = ",".join(str(len(part)) for part in parts)
    return hashlib.blake2b(b"\x00".join([lengths.encode(), *parts]), digest_size=16, person=b"group").digest()
