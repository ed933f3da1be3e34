"""`python -m bench.reports`: measures how long reports take on a year of 100 requests a second.

The year is generated as roll-ups (20 keys, 10 models and 2 targets, all active in every hour: 3.5 million rows and
as many histograms), written hour by hour as appending does it, plus one scaled-down day of raw records. The
control plane sums them up by day, as after an upgrade. Then the ledger's own reader and the console's usage view
are timed, on SQLite and PostgreSQL or on the given empty database. Prints a table and writes JSON to
bench/results/.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from trunkline_proto.ledger.v1 import ledger_pb2

from bench import usage_view
from tests.postgres import start_server
from xds_server.ledger import blocks
from xds_server.ledger.connection import open_writer
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Dimension, Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.rollup import SUMS, Series
from xds_server.ledger.summing import DailySums
from xds_server.store import DatabaseUrl, Store
from xds_server.store.connection import connect_postgresql
from xds_server.usage import histogram
from xds_server.usage.records import EMPTY, Row

RESULTS = Path(__file__).parent / "results" / "reports.json"
KEYS, MODELS, TARGETS = 20, 10, 2
SERIES = KEYS * MODELS * TARGETS
ORGANISATIONS = 5
GROUPS = ORGANISATIONS * MODELS
RATE = 100
#: 2026-01-01T00:00:00Z, in hours since 1970.
FIRST_HOUR = 490_896
HOUR_COLUMNS = ("series_id", "day", "hour", *SUMS)
DAY, HOUR = 86_400, 3_600
#: Records of a batch, as translators send them.
BATCH = 100


@dataclass(frozen=True, slots=True)
class Scale:
    """`days` of roll-ups; `records` raw records in the last day."""

    days: int
    records: int

    @property
    def until_hour(self) -> int:
        return FIRST_HOUR + self.days * 24


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.reports", description=__doc__)
    parser.add_argument("--database-url", help="an empty database; default: a new SQLite, then a new PostgreSQL")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--records", type=int, default=1_000_000, help="raw, in the last day")
    given = parser.parse_args()
    scale = Scale(given.days, given.records)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="tl-bench-") as directory:
        if given.database_url:
            url = DatabaseUrl.parse(given.database_url)
            results["sqlite" if url.is_sqlite else "postgresql"] = run(url, Path(directory), scale)
        else:
            results["sqlite"] = run(DatabaseUrl.of_file(Path(directory) / "t.db"), Path(directory), scale)
            server = start_server()
            try:
                results["postgresql"] = run(DatabaseUrl.parse(server.url()), Path(directory), scale)
            finally:
                server.stop()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"days": scale.days, "records": scale.records, **results}, indent=2))
    show(results, scale)


def run(url: DatabaseUrl, directory: Path, scale: Scale) -> dict[str, Any]:
    store = Store.open(url, key_file=directory / ("s.key" if url.is_sqlite else "p.key"))
    load = load_sqlite if url.is_sqlite else load_postgresql
    began = time.monotonic()
    columns = ("id", "digest", *Series._fields, "last_hour", "group_id")
    load(url, "usage_series", columns, itertools.chain(group_rows(), series_rows(scale)))
    load(url, "usage_hour", HOUR_COLUMNS, hour_rows(scale))
    load(url, "usage_open_day", ("day",), ((day,) for day in range(FIRST_HOUR // 24, scale.until_hour // 24)))
    load(url, "usage_first_byte", ("series_id", "hour", "histogram"), first_byte_rows(scale))
    load_records(url, scale)
    if not url.is_sqlite:
        with connect_postgresql(url.conninfo) as connection:
            connection.execute("ANALYZE")
            connection.execute("SELECT setval('usage_series_id_seq', 1000)")
    loaded = time.monotonic() - began
    summed = asyncio.run(sum_up(store, scale))
    if not url.is_sqlite:
        with connect_postgresql(url.conninfo) as connection:
            connection.execute("ANALYZE")
    measured = asyncio.run(measure(store, scale))
    store.close()
    return {"generated_seconds": round(loaded, 1), "summing": summed, "bytes": sizes(url), **measured}


async def sum_up(store: Store, scale: Scale) -> dict[str, float]:
    """Returns the seconds until every day has its sums, and those of the control plane's processor."""
    ledger = Ledger(store.url, store.write_lock)
    began, cpu = time.monotonic(), time.process_time()
    await DailySums(ledger, clock=lambda: scale.until_hour * HOUR).catch_up()
    took = {"seconds": round(time.monotonic() - began, 1), "python_cpu": round(time.process_time() - cpu, 1)}
    ledger.close()
    return took


async def measure(store: Store, scale: Scale) -> dict[str, Any]:
    """Returns the seconds of the first and of the second run."""
    reader = LedgerReader(store.url)
    until = scale.until_hour * 3_600
    year, month, day = Filter(), Filter(since=until - 30 * DAY), Filter(since=until - DAY)
    cases: dict[str, Callable[[], Awaitable[Sequence[Any]]]] = {
        "report by model, the year": lambda: reader.report(year, [Dimension.MODEL]),
        "report by day, the year": lambda: reader.report(year, [Dimension.DAY]),
        "report by key, 30 days": lambda: reader.report(month, [Dimension.KEY]),
        "report by hour and target, 24 h": lambda: reader.report(day, [Dimension.HOUR, Dimension.TARGET]),
        "top 20 by cost, 24 h": lambda: reader.top(day, "cost_nano_usd", 20),
        "top 20 by cost of one model, 24 h": lambda: reader.top(
            Filter(since=until - DAY, model="model-3"), "cost_nano_usd", 20
        ),
        "top 20 by duration of one key and model, 24 h": lambda: reader.top(
            Filter(since=until - DAY, model="model-3", key_id="key-7"), "duration_us", 20
        ),
        "export one hour": lambda: exported(reader, Filter(since=until - HOUR)),
        "compare one model, 30 days": lambda: reader.compare(Filter(since=until - 30 * DAY, model="model-3")),
        "compare one model, the year": lambda: reader.compare(Filter(model="model-3")),
    }
    timed: dict[str, Any] = {}
    for name, case in cases.items():
        timed[name] = await usage_view.twice(case)
    timed |= await usage_view.measure(store, reader, until)
    reader.close()
    return {"reports": timed, "append": await append(store, scale)}


async def exported(reader: LedgerReader, wanted: Filter) -> list[Row]:
    return [row async for page in reader.export(wanted) for row in page]


async def append(store: Store, scale: Scale) -> dict[str, float]:
    """Returns records per second in batches of 500, added to the existing ones."""
    ledger = Ledger(store.url, threading.Lock())
    draw = random.Random(2)
    batches = []
    for _ in range(40):
        at = scale.until_hour * 3_600_000_000
        records = [
            ledger_pb2.UsageRecord(
                format=1, id=str(uuid.UUID(int=draw.getrandbits(128))), started_at_us=at + draw.randrange(10**8),
                organisation_id="org_0", key_id=f"key-{draw.randrange(KEYS)}", route_id="rt_0",
                model=f"model-{draw.randrange(MODELS)}", target_id=f"p{draw.randrange(TARGETS)}/m", provider="p",
                attempts=1, status=200, first_byte_us=draw.randrange(1, 10**6), duration_us=2_000_000,
                prompt_tokens=300, completion_tokens=200, price_version=1,
                cost_nano_usd=draw.randrange(10_000_000),
            )
            for _ in range(500)
        ]  # fmt: skip
        batches.append(ledger_pb2.AppendRequest(source="bench", records=records))
    began, cpu = time.monotonic(), time.process_time()
    for each in batches:
        await ledger.append(each)
    seconds, used = time.monotonic() - began, time.process_time() - cpu
    ledger.close()
    return {"records_per_second": round(20_000 / seconds), "python_us_per_record": round(used / 20_000 * 1e6, 1)}


def group_rows() -> Iterator[tuple[Any, ...]]:
    for number in range(GROUPS):
        group = Series(f"org_{number % ORGANISATIONS}", "", "", f"model-{number // ORGANISATIONS}", "", "", "")
        yield (SERIES + number + 1, group.group_digest(), *group, 2**31 - 1, None)


def series_rows(scale: Scale) -> Iterator[tuple[Any, ...]]:
    for number in range(SERIES):
        key, model, target = number % KEYS, number // KEYS % MODELS, number // (KEYS * MODELS)
        series = Series(
            f"org_{key % ORGANISATIONS}",
            f"key-{key}",
            f"rt_{model}",
            f"model-{model}",
            f"p{target}/model-{model}",
            f"p{target}",
            "",
        )
        group = SERIES + model * ORGANISATIONS + key % ORGANISATIONS + 1
        yield (number + 1, series.digest(), *series, scale.until_hour - 1, group)


def hour_rows(scale: Scale) -> Iterator[tuple[Any, ...]]:
    draw = random.Random(3)
    requests = RATE * 3_600 // SERIES
    for hour in range(FIRST_HOUR, scale.until_hour):
        factor = draw.uniform(0.5, 1.5)
        for series in range(1, SERIES + 1):
            count = round(requests * factor)
            sums = (count, 3, 5, count * 300, count * 40, count * 200, count * 20, count * 2_000, 7, 0, 4,
                    count * 190, count * 2_100_000)  # fmt: skip
            yield (series, hour // 24, hour, *sums)


def first_byte_rows(scale: Scale) -> Iterator[tuple[Any, ...]]:
    draw = random.Random(4)
    #: Times to the first byte around a median of 0.4 s, as many as one series has in an hour.
    shapes = []
    for _ in range(200):
        counts: dict[int, int] = {}
        for _ in range(RATE * 3_600 // SERIES):
            index = histogram.bucket(max(1, round(draw.lognormvariate(12.9, 0.6))))
            counts[index] = counts.get(index, 0) + 1
        shapes.append(histogram.encode(counts))
    for hour in range(FIRST_HOUR, scale.until_hour):
        for series in range(1, SERIES + 1):
            yield (series, hour, shapes[(hour + series) % len(shapes)])


def load_records(url: DatabaseUrl, scale: Scale) -> None:
    """Stores records as on arrival, without their sums."""
    draw = random.Random(5)
    begin = (scale.until_hour - 24) * 3_600_000_000
    writer = open_writer(url, threading.Lock())
    numbers = iter(range(scale.records))
    while part := list(itertools.islice(numbers, BATCH)):
        rows = [raw(draw, begin + number * DAY * 1_000_000 // scale.records) for number in part]
        columns: dict[str, Sequence[Any]] = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
        with writer.transaction() as transaction:
            blocks.append(transaction, columns)
    writer.close()


def raw(draw: random.Random, at_us: int) -> Row:
    key, model, target = draw.randrange(KEYS), draw.randrange(MODELS), draw.randrange(TARGETS)
    completion = int(draw.lognormvariate(5, 1))
    return Row._make(EMPTY.values())._replace(
        id=str(uuid.UUID(int=draw.getrandbits(128))),
        started_at_us=at_us,
        organisation_id=f"org_{key % 5}",
        key_id=f"key-{key}",
        route_id=f"rt_{model}",
        model=f"model-{model}",
        target_id=f"p{target}/model-{model}",
        provider=f"p{target}",
        attempts=1,
        status=200,
        request_bytes=1_000,
        response_bytes=2_000,
        first_byte_us=400_000,
        duration_us=400_000 + completion * 10_000,
        prompt_tokens=300,
        cached_tokens=40,
        completion_tokens=completion,
        cost_nano_usd=(600 + completion * 8) * 1_000,
        price_version=1,
        stream=True,
    )


def load_sqlite(url: DatabaseUrl, table: str, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    writer = open_writer(url, threading.Lock())
    for part in _parts(rows, 100_000):
        with writer.transaction() as transaction:
            transaction.many(statement, part)
    writer.close()


def load_postgresql(url: DatabaseUrl, table: str, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    with connect_postgresql(url.conninfo) as connection, connection.cursor() as cursor:
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with cursor.copy(statement.encode()) as copy:
            for row in rows:
                copy.write_row(row)


def sizes(url: DatabaseUrl) -> dict[str, int]:
    """Returns the bytes per table, including indices."""
    tables = (
        "usage_block",
        "usage_request",
        "usage_id",
        "usage_user",
        "usage_outcome",
        "usage_hour",
        "usage_first_byte",
        "usage_day",
        "usage_day_first_byte",
    )
    if url.path is not None:
        return {"database": sum(path.stat().st_size for path in url.path.parent.glob(url.path.name + "*"))}
    with psycopg.connect(url.conninfo) as connection:
        found = {}
        for table in tables:
            row = connection.execute("SELECT pg_total_relation_size(%s::regclass)", (table,)).fetchone()
            found[table] = int(row[0]) if row else 0
        return found


def show(results: dict[str, Any], scale: Scale) -> None:
    rows = scale.days * 24 * SERIES
    print(f"{rows:,} roll-ups ({scale.days} days), {scale.records:,} raw records in the last day", end="")
    print(f" (of {RATE * DAY:,} at {RATE} requests/s)\n")
    for database, found in results.items():
        print(f"{database}: generated in {found['generated_seconds']} s; bytes {found['bytes']}")
        print(f"  summed by day in {found['summing']['seconds']} s ({found['summing']['python_cpu']} s of Python)")
        for name, took in found["reports"].items():
            again = f"again {took['second']:8.3f} s (own CPU {took['cpu']:.3f} s)"
            print(f"  {name:46} {took['first']:8.3f} s, {again}  {took['rows']:>6} rows")
        print(f"  append {found['append']}\n")


def _parts(rows: Iterator[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    part: list[tuple[Any, ...]] = []
    for row in rows:
        part.append(row)
        if len(part) == size:
            yield part
            part = []
    yield part


if __name__ == "__main__":
    main()
