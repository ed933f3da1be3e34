"""Data of earlier versions survives a migration: rows become blocks, and micro-USD become nano-USD."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from alembic import command
from sqlalchemy import Connection, text

from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from tests.xds_server.store.databases import OpenStore, empty_database as database
from xds_server.ledger import blocks, outcomes, rollup
from xds_server.ledger.contributions import ContributionDimension
from xds_server.ledger.indexing import Indexing
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.retention_periods import DAY
from xds_server.ledger.search import NEWEST, Search
from xds_server.store import DatabaseUrl, schema
from xds_server.store.connection import open_reader
from xds_server.store.engine import make_engine
from xds_server.usage import records

__all__ = ["database"]

#: Columns added with or after the blocks' second format.
YOUNGER = {
    "upstream_request_id", "capped", "claimed_prompt_tokens", "claimed_completion_tokens", "cache_write_tokens",
    "cache_write_1h_tokens", "audio_prompt_tokens", "audio_completion_tokens", "images", "audio_in_ms",
    "audio_out_ms", "characters", "search_units", "service_tier", "saved_nano_usd",
    "credential_index", "cancelled", "target_status",
}  # fmt: skip


def in_micro_usd(row: records.Row) -> dict[str, Any]:
    """Returns the columns of a version without nano-USD."""
    fields = {name: value for name, value in row._asdict().items() if name not in YOUNGER}
    for name in ("cost", "earned"):
        fields[f"{name}_micro_usd"] = fields.pop(f"{name}_nano_usd") // 1_000
    return fields


def old_row(row: records.Row) -> dict[str, Any]:
    tokens = row.prompt_tokens + row.completion_tokens
    attempts = '[["azure/gpt",429,"é,UF"]]' if row.failed_attempts else ""
    return {
        **in_micro_usd(row),
        "hour": row.started_at_us // 10**6 // HOUR,
        "tokens": tokens,
        "failed_attempts": attempts,
    }


@contextmanager
def at_version(database: DatabaseUrl, version: str) -> Iterator[Connection]:
    """Yields the transaction that migrates an empty database to this version."""
    open_reader(database).close()
    engine = make_engine(database)
    with engine.begin() as connection:
        config = schema.alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        yield connection
    engine.dispose()


@pytest.mark.parametrize("number", [0, 1_207])
async def test_rows_become_blocks(open_store: OpenStore, database: DatabaseUrl, number: int) -> None:
    failed = [{"target_id": "azure/gpt", "status": 429, "reason": "é,UF"}]
    request = batch(
        *(
            usage(
                at=MONDAY_10 + (index % 7) * 1_000, cost_nano_usd=index * 1_000, stream=True, tag="é", node_id="n",
                failed_attempts=failed if index % 2 else [],
            )
            for index in range(number)
        )
    )  # fmt: skip
    with at_version(database, "0006") as connection:
        rows = [
            records.Row(**{name: getattr(each, name) for name in records.Row._fields}) for each in request.records
        ]
        for row in map(old_row, rows):
            names = ", ".join(row)
            marks = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO usage_record ({names}) VALUES ({marks})"), row)

    store = open_store()
    reader, ledger = LedgerReader(database), Ledger(database, store.write_lock)
    exported = [records.record(row) async for page in reader.export(Filter()) for row in page]
    assert sorted(exported, key=lambda each: each.id) == sorted(request.records, key=lambda each: each.id)
    heaviest = await reader.top(Filter(), "cost_nano_usd", 3)
    assert [row.cost_nano_usd for row in heaviest] == [index * 1_000 for index in range(number)][:-4:-1]
    for start in range(0, number, 500):
        await ledger.append(batch(*request.records[start : start + 500]))
    assert (ledger.stored, ledger.repeated) == (0, number)
    for each in (reader, ledger):
        each.close()


async def test_money_becomes_nano_usd(open_store: OpenStore, database: DatabaseUrl) -> None:
    """Existing sums and blocks are converted to the new unit, and later records are added to them."""
    before, after = usage(cost_nano_usd=600_000, node_id="n", earned_nano_usd=7_000), usage(cost_nano_usd=400)
    hour = MONDAY_10 // HOUR
    sums = {name: int(name == "requests") for name in rollup.SUMS if name != "cost_nano_usd"}
    (row,) = records.rows(records.columns([before]))
    block = {name: [value] for name, value in in_micro_usd(row).items()}
    identified = rollup.Series(*(getattr(row, name) for name in rollup.Series._fields))
    data = zlib.compress(orjson.dumps(block))
    rows = {
        "usage_block": {
            "id": 1, "hour": hour, "cost_micro_usd": 600, "tokens": 150, "duration_us": 1, "data": data
        },
        "usage_request": {"started_at_us": row.started_at_us, "id": row.id, "block": 1},
        "usage_series": {
            "digest": identified.digest(), "last_hour": hour, **identified._asdict(),
        },
        "usage_hour": {"series_id": 1, "day": hour // 24, "hour": hour, "cost_micro_usd": 600, **sums},
        "usage_node": {  # the node claimed more than is plausible
            "hour": hour, "node_id": "n", "model": "m", "organisation_id": "o", "owner_key_id": "k", "requests": 1,
            "errors": 0, "prompt_tokens": 0, "completion_tokens": 0, "earned_micro_usd": 9 * 10**15,
        },
    }  # fmt: skip
    with at_version(database, "0007") as connection:
        for table, values in rows.items():
            _insert(connection, table, values)
    store = open_store()
    reader, ledger = LedgerReader(database), Ledger(database, store.write_lock)
    await ledger.append(batch(before, after))
    assert (ledger.stored, ledger.repeated) == (1, 1)
    (group,) = await reader.report(Filter(), ())
    assert dict(zip(rollup.SUMS, group.sums, strict=True))["cost_nano_usd"] == 600_400
    exported = [records.record(row) async for page in reader.export(Filter()) for row in page]
    assert sorted(exported, key=lambda each: each.cost_nano_usd) == [after, before]
    assert [row.cost_nano_usd for row in await reader.top(Filter(), "cost_nano_usd", 2)] == [600_000, 400]
    (contributed,) = await reader.contributions(Filter(), (ContributionDimension.NODE,))
    assert contributed.sums[-1] == 10**15
    for each in (reader, ledger):
        each.close()


@pytest.mark.parametrize(("summed", "still_open"), [(None, [20_000, 20_001, 20_003]), (20_001, [20_001, 20_003])])
def test_days_without_sums_are_listed(
    open_store: OpenStore, database: DatabaseUrl, summed: int | None, still_open: list[int]
) -> None:
    with at_version(database, "0036") as connection:
        series: dict[str, Any] = dict.fromkeys(("key_id", "route_id", "model", "target_id", "provider", "tag"), "")
        series |= {"id": 1, "digest": b"s", "organisation_id": "o", "last_hour": 0, "group_id": 2}
        _insert(connection, "usage_series", series)
        for day, hour in ((20_000, 1), (20_001, 2), (20_001, 3), (20_003, 4)):
            sums = dict.fromkeys(rollup.SUMS, 0)
            _insert(connection, "usage_hour", {"series_id": 1, "day": day, "hour": day * 24 + hour, **sums})
        if summed is not None:
            _insert(connection, "usage_day_position", {"id": 1, "day": summed, "series_id": 5})
    with open_store()._reader.snapshot() as snapshot:
        assert [day for (day,) in snapshot.rows("SELECT day FROM usage_open_day ORDER BY day")] == still_open


def _insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"), row)


async def test_what_failed_earlier_is_found(open_store: OpenStore, database: DatabaseUrl) -> None:
    failed, answered = usage(status=503, end_user="u"), usage(MONDAY_10 + HOUR)
    with at_version(database, "0037") as connection:
        for number, record in enumerate((failed, answered), start=1):
            block = blocks.encode(records.columns([record]))
            heaviest = {"cost_nano_usd": 0, "tokens": 0, "duration_us": 0}
            hour = record.started_at_us // records.HOUR_US
            _insert(connection, "usage_block", {"id": number, "hour": hour, **heaviest, "data": block})
            row = {"started_at_us": record.started_at_us, "id": record.id, "block": number}
            _insert(connection, "usage_request", row)
    store = open_store()
    reader, ledger = LedgerReader(database), Ledger(database, store.write_lock)
    later = usage(MONDAY_10 + 2 * HOUR, status=503)
    await ledger.append(batch(later))
    for indexed in (False, True):
        for user, found in (("", [later.id, failed.id]), ("u", [failed.id])):
            wanted = Search(end_user=user, outcomes=outcomes.of(503))
            assert [row.id for row in (await reader.search(wanted, NEWEST, 10, 60.0))[0]] == found, indexed
        assert [row.id for row in (await reader.search(Search(end_user="u"), NEWEST, 10, 60.0))[0]] == [failed.id]
        await Indexing(ledger, clock=lambda: MONDAY_10 + DAY).catch_up()
    for each in (reader, ledger):
        each.close()
