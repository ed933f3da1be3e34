"""`python -m bench.records`: measures what the control plane's process spends on storing a usage record.

It stores batches as translators send them, from the bytes of the request to the bytes of the answer, without gRPC
itself. There are two kinds: all requests alike, or of 20 keys, 10 models and 2 targets, so that most records of a
batch are added to different sums. The clock is the process's own, which includes the kernel's work for it but not
the disk's; the lowest tenth of the batches shows the undisturbed cost. The CPU of PostgreSQL's processes is listed
separately. Prints a table and writes JSON to bench/results/.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trunkline_proto.ledger.v1 import ledger_pb2

from tests.postgres import start_server
from tests.xds_server.ledger.usage import packed
from xds_server.ledger.ledger import Ledger
from xds_server.store import DatabaseUrl, Store

RESULTS = Path(__file__).parent / "results" / "records.json"
#: 2026-11-02T10:00:00Z
BEGIN_US = 1_793_613_600_000_000
#: Microseconds between the ends of two requests; records are ordered by them.
STEP_US = 2_000
#: (keys, models, targets)
KINDS = {"alike": (1, 1, 1), "mixed": (20, 10, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.records", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="default: one after the other")
    parser.add_argument("--batches", type=int, default=300, help="of each kind and size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 200])
    given = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(prefix="tl-bench-") as directory:
        if given.database != "postgresql":
            results["sqlite"] = run(Path(directory), given.sizes, given.batches)
        if given.database != "sqlite":
            server = start_server()
            try:
                results["postgresql"] = run(
                    Path(directory), given.sizes, given.batches, server.url(), server.process.pid
                )
            finally:
                server.stop()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2))
    show(results)


def run(
    directory: Path, sizes: list[int], batches: int, server_url: str = "", server_pid: int = 0
) -> list[dict[str, Any]]:
    """Measures on one database, which grows from one measurement to the next."""
    url = DatabaseUrl.parse(server_url) if server_url else DatabaseUrl.of_file(directory / "t.db")
    store = Store.open(url, key_file=directory / ("p.key" if server_url else "s.key"))
    draw, found = random.Random(1), []
    requests = make(draw)
    asyncio.run(
        measure(store, [next(requests("mixed", 500)) for _ in range(20)], 0)
    )  # the first batches find empty tables
    for kind in KINDS:
        for size in sizes:
            several = requests(kind, size)
            encoded = [next(several) for _ in range(batches)]
            found.append({"kind": kind, "size": size, **asyncio.run(measure(store, encoded, server_pid, size))})
    store.close()
    return found


def make(draw: random.Random) -> Any:
    number = 0

    def requests(kind: str, size: int) -> Iterator[bytes]:
        nonlocal number
        while True:
            records = []
            for _ in range(size):
                number += 1
                records.append(record(draw, number, *KINDS[kind]))
            yield ledger_pb2.AppendRequest(source="bench", packed=packed(*records)).SerializeToString()

    return requests


def record(draw: random.Random, number: int, keys: int, models: int, targets: int) -> ledger_pb2.UsageRecord:
    key, model, target = draw.randrange(keys), draw.randrange(models), draw.randrange(targets)
    completion = draw.randrange(1, 500)
    duration = 1_000_000 + completion * 10_000
    return ledger_pb2.UsageRecord(
        format=1, id=str(uuid.UUID(int=draw.getrandbits(128))),
        started_at_us=BEGIN_US + number * STEP_US - duration,
        organisation_id=f"org_{key % 5:020}", key_id=f"key_{key:020}", route_id=f"rt_{model:020}",
        model=f"model-{model}", target_id=f"provider-{target}/model-{model}", provider=f"provider-{target}",
        attempts=1, status=200, request_bytes=1_000 + draw.randrange(50), response_bytes=2_000 + completion,
        first_byte_us=draw.randrange(100_000, 1_000_000), duration_us=duration,
        prompt_tokens=300 + draw.randrange(50), completion_tokens=completion,
        cost_nano_usd=(600 + completion * 8) * 1_000, price_version=1, plain=True,
    )  # fmt: skip


async def measure(store: Store, batches: list[bytes], server: int, size: int = 500) -> dict[str, float]:
    """Returns microseconds per record."""
    ledger = Ledger(store.url, store.write_lock)
    took, server_before = [], processor_seconds(server)
    for each in batches:
        began = time.process_time_ns()
        appended = await ledger.append(ledger_pb2.AppendRequest.FromString(each))
        assert not appended.refused
        ledger_pb2.AppendResponse(all_acknowledged=True).SerializeToString()
        took.append((time.process_time_ns() - began) / 1_000 / size)
    served = (processor_seconds(server) - server_before) * 1e6 / size / len(batches)
    ledger.close()
    took.sort()
    figures = {
        "lowest_tenth": took[len(took) // 10],
        "median": took[len(took) // 2],
        "mean": sum(took) / len(took),
    }
    return {name: round(value, 2) for name, value in {**figures, "server": served}.items()}


def processor_seconds(parent: int) -> float:
    """Returns the CPU of the children of a process; 0 for none."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat") if parent else ():
        fields = stat.read_text().rpartition(") ")[2].split()
        if int(fields[1]) == parent:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def show(results: dict[str, list[dict[str, Any]]]) -> None:
    print("µs of CPU per record\n")
    print(
        f"{'database':12} {'requests':9} {'batch':>6} {'lowest tenth':>13} {'median':>8} {'mean':>8} {'server':>8}"
    )
    for database, found in results.items():
        for each in found:
            row = f"{database:12} {each['kind']:9} {each['size']:>6} {each['lowest_tenth']:>13.1f}"
            print(f"{row} {each['median']:>8.1f} {each['mean']:>8.1f} {each['server']:>8.1f}")


if __name__ == "__main__":
    main()
