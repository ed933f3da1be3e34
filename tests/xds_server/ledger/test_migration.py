"""Records that were stored as rows of their own, before there were blocks, are all there afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from alembic import command
from sqlalchemy import text

from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from tests.xds_server.store.databases import OpenStore
from xds_server.ledger import records
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.store import DatabaseUrl, schema
from xds_server.store.connection import open_reader
from xds_server.store.engine import make_engine


def old_row(row: records.Row) -> dict[str, Any]:
    tokens = row.prompt_tokens + row.completion_tokens
    attempts = '[["azure/gpt",429,"é,UF"]]' if row.failed_attempts else ""
    return {
        **row._asdict(),
        "hour": row.started_at_us // 10**6 // HOUR,
        "tokens": tokens,
        "failed_attempts": attempts,
    }


@pytest.mark.parametrize("number", [0, 1_207])
async def test_rows_become_blocks(open_store: OpenStore, database: DatabaseUrl, number: int) -> None:
    failed = [{"target_id": "azure/gpt", "status": 429, "reason": "é,UF"}]
    request = batch(
        *(
            usage(
                at=MONDAY_10 + (index % 7) * 1_000, cost_micro_usd=index, stream=True, tag="é", node_id="n",
                failed_attempts=failed if index % 2 else [],
            )
            for index in range(number)
        )
    )  # fmt: skip
    open_reader(database).close()
    engine = make_engine(database)
    with engine.begin() as connection:
        config = schema.alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        rows = [
            records.Row(**{name: getattr(each, name) for name in records.Row._fields}) for each in request.records
        ]
        for row in map(old_row, rows):
            names = ", ".join(row)
            marks = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO usage_record ({names}) VALUES ({marks})"), row)
    engine.dispose()

    store = open_store()
    reader, ledger = LedgerReader(database), Ledger(database, store.write_lock)
    exported = [records.record(row) async for page in reader.export(Filter()) for row in page]
    assert sorted(exported, key=lambda each: each.id) == sorted(request.records, key=lambda each: each.id)
    heaviest = await reader.top(Filter(), "cost_micro_usd", 3)
    assert [row.cost_micro_usd for row in heaviest] == list(range(number))[:-4:-1]
    for start in range(0, number, 500):
        await ledger.append(batch(*request.records[start : start + 500]))
    assert (ledger.stored, ledger.repeated) == (0, number)
    for each in (reader, ledger):
        each.close()
