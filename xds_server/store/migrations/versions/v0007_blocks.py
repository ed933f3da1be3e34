"""Raw usage records in blocks instead of rows of their own; stored records are moved."""

from __future__ import annotations

import json
import zlib
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

from xds_server.store.migrations.progress import report

revision = "0007"
down_revision = "0006"

_FLAGS = {"cache_hit", "estimated", "expired", "stream"}
_COLUMNS = (
    "id",
    "started_at_us",
    "organisation_id",
    "key_id",
    "route_id",
    "model",
    "target_id",
    "provider",
    "node_id",
    "attempts",
    "status",
    "response_flags",
    "request_bytes",
    "response_bytes",
    "first_byte_us",
    "duration_us",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cost_micro_usd",
    "price_version",
    *sorted(_FLAGS),
    "end_user",
    "tag",
    "failed_attempts",
    "earned_micro_usd",
)
#: Records of one block.
_SIZE = 500


def upgrade() -> None:
    """Makes the two tables, fills them, and drops the old one."""
    block = op.create_table(
        "usage_block",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("hour", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("cost_micro_usd", "tokens", "duration_us")
        ),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    for name, column in (("cost", "cost_micro_usd"), ("tokens", "tokens"), ("duration", "duration_us")):
        op.create_index(f"usage_block_{name}", "usage_block", ["hour", column])
    request = op.create_table(
        "usage_request",
        sa.Column("started_at_us", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    page = sa.text(
        f"SELECT {', '.join(_COLUMNS)} FROM usage_record WHERE (started_at_us, id) > (:at, :id) "  # noqa: S608
        f"ORDER BY started_at_us, id LIMIT {_SIZE}"
    )
    number, moved, last = 0, 0, {"at": -1, "id": ""}
    total = connection.execute(sa.text("SELECT COUNT(*) FROM usage_record")).scalar_one()
    while rows := [dict(row._mapping) for row in connection.execute(page, last)]:
        report(moved, total)
        moved += len(rows)
        last = {"at": rows[-1]["started_at_us"], "id": rows[-1]["id"]}
        for hour, of_hour in groupby(rows, lambda row: row["started_at_us"] // 3_600_000_000):
            number += 1
            members = list(of_hour)
            connection.execute(block.insert(), _block(number, hour, members))
            connection.execute(
                request.insert(),
                [{"started_at_us": each["started_at_us"], "id": each["id"], "block": number} for each in members],
            )
    op.drop_table("usage_record")


def _block(number: int, hour: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns a block as ledger.blocks stores it: compressed JSON of columns."""
    columns = {name: [row[name] for row in rows] for name in _COLUMNS}
    for name in _FLAGS:
        columns[name] = list(map(bool, columns[name]))
    columns["failed_attempts"] = [json.loads(each) if each else [] for each in columns["failed_attempts"]]
    tokens = map(sum, zip(columns["prompt_tokens"], columns["completion_tokens"], strict=True))
    return {
        "id": number,
        "hour": hour,
        "cost_micro_usd": max(columns["cost_micro_usd"]),
        "tokens": max(tokens),
        "duration_us": max(columns["duration_us"]),
        "data": zlib.compress(json.dumps(columns).encode(), 1),
    }
