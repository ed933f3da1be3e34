"""`python -m bench.searches`: measures how long it takes to find single requests among ten million.

The records are of thirty days, in batches as translators send them: 20 keys, 10 models, 2 targets; a third of
the requests name one of 5,000 users, and one in a thousand ended with status 429, fewer in other ways. One key,
one tag and one user are rare: they were used in one hour of each week. The control plane indexes the records as
after an upgrade. Then the searches of `trunkline requests list` and of the console are timed until the first
hundred matches, or the end, on SQLite and PostgreSQL or on the given database. Prints a table and writes JSON to
bench/results/.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.reports import sizes
from bench.searched_records import BEGIN, END, HOUR, load
from tests.postgres import start_server
from xds_server.ledger import outcomes
from xds_server.ledger.indexing import Indexing
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.outcomes import Outcomes
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.search import NEWEST, Search
from xds_server.store import DatabaseUrl, Store
from xds_server.store.connection import connect_postgresql

RESULTS = Path(__file__).parent / "results" / "searches.json"
PAGE = 100
#: How often each search is timed; the median counts.
TIMES = 3
#: Parts of the time from which an id is taken.
PARTS = 10
FIFTH, MIDDLE = (END - BEGIN) // 5, (BEGIN + END) // 2
CASES = {
    "a key": Search(Filter(key_id="key-7")),
    "a rare key": Search(Filter(key_id="rare")),
    "a key that was not used": Search(Filter(key_id="none")),
    "a rare tag": Search(Filter(tag="rare")),
    "a tag that was not used, of a key": Search(Filter(tag="none", key_id="key-7")),
    "a model": Search(Filter(model="model-3")),
    "a model at a target that does not serve it": Search(Filter(model="model-3", target_id="p0/model-4")),
    "a key and a model": Search(Filter(key_id="key-7", model="model-3")),
    "a key and a model, in the first fifth": Search(Filter(until=BEGIN + FIFTH, key_id="key-7", model="model-3")),
    "a minute, any request": Search(Filter(since=MIDDLE, until=MIDDLE + 60)),
    "a user": Search(end_user="key-7-user-7"),
    "a rare user": Search(end_user="rare"),
    "a user that there is not": Search(end_user="none"),
    "a user with a key that is another's": Search(Filter(key_id="key-8"), end_user="key-7-user-7"),
    "a user's requests that failed": Search(end_user="key-7-user-7", outcomes=outcomes.FAILED),
    "status 429": Search(outcomes=outcomes.of(429)),
    "status 429 in the first fifth": Search(Filter(until=BEGIN + FIFTH), outcomes=outcomes.of(429)),
    "status 429 of a key": Search(Filter(key_id="key-7"), outcomes=outcomes.of(429)),
    "status 429 of a rare key": Search(Filter(key_id="rare"), outcomes=outcomes.of(429)),
    "status 429 of a model at another's target": Search(
        Filter(model="model-3", target_id="p0/model-4"), outcomes=outcomes.of(429)
    ),
    "5xx": Search(outcomes=Outcomes((range(500, 600),))),
    "failed": Search(outcomes=outcomes.FAILED),
    "cancelled": Search(outcomes=outcomes.of(outcomes.CANCELLED)),
    "expired": Search(outcomes=outcomes.of(outcomes.EXPIRED)),
    "a status that no request has": Search(outcomes=outcomes.of(451)),
    "status 200": Search(outcomes=outcomes.of(outcomes.USUAL)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.searches", description=__doc__)
    parser.add_argument("--database-url", help="an empty database; default: a new SQLite, then a new PostgreSQL")
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--directory", type=Path, help="keeps the databases' keys; default: a temporary one")
    parser.add_argument(
        "--stored", action="store_true", help="the database has the records of an earlier run with this directory"
    )
    given = parser.parse_args()
    if given.stored and not (given.database_url and given.directory):
        parser.error("--stored needs --database-url and --directory")
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="tl-bench-") as temporary:
        directory = given.directory or Path(temporary)
        records = 0 if given.stored else given.records
        if given.database_url:
            url = DatabaseUrl.parse(given.database_url)
            results["sqlite" if url.is_sqlite else "postgresql"] = run(url, directory, records)
        else:
            results["sqlite"] = run(DatabaseUrl.of_file(Path(temporary) / "t.db"), directory, records)
            server = start_server()
            try:
                results["postgresql"] = run(DatabaseUrl.parse(server.url()), directory, records)
            finally:
                server.stop()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"records": given.records, **results}, indent=2))
    show(results, given.records)


def run(url: DatabaseUrl, directory: Path, records: int) -> dict[str, Any]:
    """Stores so many records, and measures."""
    store = Store.open(url, key_file=directory / ("s.key" if url.is_sqlite else "p.key"))
    results: dict[str, Any] = {}
    if records:
        began = time.monotonic()
        load(url, records)
        results["stored in seconds"] = round(time.monotonic() - began, 1)
    asyncio.run(index(store, results))
    results["bytes"] = sizes(url)
    results["searches"] = asyncio.run(measure(store))
    store.close()
    return results


async def index(store: Store, results: dict[str, Any]) -> None:
    ledger = Ledger(store.url, store.write_lock)
    began, cpu = time.monotonic(), time.process_time()
    await Indexing(ledger, clock=lambda: END + HOUR).catch_up()
    results["indexed in seconds"] = round(time.monotonic() - began, 1)
    results["of the control plane's processor"] = round(time.process_time() - cpu, 1)
    ledger.close()
    if not store.url.is_sqlite:
        with connect_postgresql(store.url.conninfo) as connection:
            connection.execute("ANALYZE")


async def measure(store: Store) -> dict[str, Any]:
    """Returns the seconds of each search, with the number of matches on its first page."""
    reader = LedgerReader(store.url)
    timed: dict[str, Any] = {}
    ids = [await id_after(reader, BEGIN + part * (END - BEGIN) // PARTS) for part in range(PARTS)]
    timed["an id"] = max([await seconds(reader, Search(id_prefix=each)) for each in ids])
    timed["eight characters that no id has"] = await seconds(reader, Search(id_prefix="00000000"))
    timed["four characters of an id"] = await seconds(reader, Search(id_prefix=ids[0][:4]))
    for name, search in CASES.items():
        timed[name] = await seconds(reader, search)
    reader.close()
    return timed


async def id_after(reader: LedgerReader, at: int) -> str:
    (row, *_), _ = await reader.search(Search(Filter(until=at + HOUR)), NEWEST, 1, 60.0)
    return row.id


async def seconds(reader: LedgerReader, search: Search) -> tuple[float, float, int]:
    """Returns the seconds until the first page is full or the search is complete, those of this process's CPU,
    and how many were found.
    """
    took = []
    for _ in range(TIMES):
        began, cpu = time.monotonic(), time.process_time()
        found, _ = await reader.search(search, NEWEST, PAGE, 3_600.0)
        took.append((round(time.monotonic() - began, 3), round(time.process_time() - cpu, 3)))
    return *sorted(took)[TIMES // 2], len(found)


def show(results: dict[str, Any], records: int) -> None:
    print(
        f"{records:,} records: seconds until the first {PAGE} matches or the end, of this process's CPU; matches"
    )
    for database, found in results.items():
        print(f"\n{database}")
        for name, value in found.items():
            if name != "searches":
                print(f"  {name:44} {value}")
        for name, (took, cpu, matches) in found["searches"].items():
            print(f"  {name:44} {took:8.3f} {cpu:8.3f} {matches:5}")


if __name__ == "__main__":
    main()
