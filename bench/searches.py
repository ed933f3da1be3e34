"""`python -m bench.searches`: measures how long it takes to find single requests among ten million.

The records are of thirty days, in batches as translators send them: 20 keys, 10 models, 2 targets, and one request
in a thousand with status 429. One key and one tag are rare: they were used in one hour of each week. Then the
searches of `trunkline requests list` and of the console are timed until the first hundred matches, or the end.
Prints a table and writes JSON to bench/results/.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.reports import raw
from xds_server.ledger import writing
from xds_server.ledger.connection import open_writer
from xds_server.ledger.indexing import IdIndexing
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.search import NEWEST, Search
from xds_server.store import DatabaseUrl, Store
from xds_server.usage.records import Columns, Row

RESULTS = Path(__file__).parent / "results" / "searches.json"
DAYS, HOUR = 30, 3_600
#: 2026-01-01T00:00:00Z
BEGIN = 1_767_225_600
#: Records of a batch: a translator that is busy sends as many.
BATCH = 500
PAGE = 100
#: An hour of each week, in hours since its beginning, in which the rare key and tag were used.
RARE_HOUR = 75


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.searches", description=__doc__)
    parser.add_argument("--database-url", help="an empty database; default: a new SQLite")
    parser.add_argument("--records", type=int, default=10_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tl-bench-") as directory:
        path = Path(directory)
        url = DatabaseUrl.parse(given.database_url) if given.database_url else DatabaseUrl.of_file(path / "t.db")
        results = run(url, path, given.records)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2))
    for name, value in results.items():
        print(f"{name:44} {value}")


def run(url: DatabaseUrl, directory: Path, records: int) -> dict[str, Any]:
    store = Store.open(url, key_file=directory / "s.key")
    began = time.monotonic()
    ids = load(url, records)
    loaded = time.monotonic() - began
    results = asyncio.run(measure(store, ids))
    store.close()
    return {"records": records, "stored in seconds": round(loaded, 1), **results}


def load(url: DatabaseUrl, records: int) -> list[str]:
    """Stores the records. Returns some ids from all of the time."""
    draw, ids = random.Random(5), []
    writer = open_writer(url, threading.Lock())
    for first in range(0, records, BATCH):
        rows = [record(draw, number, records) for number in range(first, min(first + BATCH, records))]
        batch: Columns = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
        with writer.transaction() as transaction:
            writing.append(transaction, batch)
        if first % (records // 10) == 0:
            ids.append(rows[0].id)
    writer.close()
    return ids


def record(draw: random.Random, number: int, records: int) -> Row:
    at = BEGIN + number * DAYS * 24 * HOUR / records
    row = raw(draw, round(at * 1_000_000))
    if number % 1_000 == 0:
        row = row._replace(status=429)
    if number % 100 == 0 and (at - BEGIN) // HOUR % (7 * 24) == RARE_HOUR:
        row = row._replace(key_id="rare", tag="rare")
    return row


async def measure(store: Store, ids: list[str]) -> dict[str, Any]:
    """Returns the seconds of each search, with the number of matches on its first page."""
    reader, ledger = LedgerReader(store.url), Ledger(store.url, store.write_lock)
    end = BEGIN + DAYS * 24 * HOUR
    timed: dict[str, Any] = {}
    before_index = await seconds(reader, Search(id_prefix=ids[0]))
    began = time.monotonic()
    await IdIndexing(ledger, clock=lambda: end + HOUR).catch_up()
    timed["ids indexed in seconds"] = round(time.monotonic() - began, 1)
    timed["an id, before it is indexed"] = before_index
    timed["an id"] = max([await seconds(reader, Search(id_prefix=each)) for each in ids])
    timed["eight characters that no id has"] = await seconds(reader, Search(id_prefix="00000000"))
    cases = {
        "a key": Search(Filter(key_id="key-7")),
        "a rare key": Search(Filter(key_id="rare")),
        "a key that was not used": Search(Filter(key_id="none")),
        "a rare tag": Search(Filter(tag="rare")),
        "a model": Search(Filter(model="model-3")),
        "status 429": with_status(429),
        "status 429 of a rare key": with_status(429, key_id="rare"),
        "a status that none has": with_status(451),
    }
    for name, search in cases.items():
        timed[name] = await seconds(reader, search)
    reader.close()
    ledger.close()
    return timed


def with_status(status: int, key_id: str = "") -> Search:
    return Search(Filter(key_id=key_id), statuses=range(status, status + 1))


async def seconds(reader: LedgerReader, search: Search) -> tuple[float, int]:
    """Returns the seconds until the first page is full, or the search is complete; and how many were found."""
    began = time.monotonic()
    found, _ = await reader.search(search, NEWEST, PAGE, 3_600.0)
    return round(time.monotonic() - began, 3), len(found)


if __name__ == "__main__":
    main()
