"""`python -m bench.scrape`: measures what a scrape of each page of metrics costs, and what an idle gateway takes.

A gateway with one route has served one request, and then nothing more. For each page, the table has its size and
the CPU that each process spends on a scrape; then the CPU that each process spends in a second without requests.
The last line is measured without a gateway: the translator's largest page, with 200 label sets of every histogram
and 256 kinds of requests to be counted, and the longest step in which it holds the loop. Prints a table and writes
JSON to bench/results/.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.gateway import Gateway, configuration, roles_below, started
from bench.processes import cpu_us
from bench.upstream import running_upstream
from translator.ledger.lines import RequestLine
from translator.ledger.records import Bill
from translator.ledger.request_histograms import RequestHistograms
from translator.ledger.usage import Tokens
from translator.limits import Reservation
from translator.metrics import Metrics

RESULTS = Path(__file__).parent / "results" / "scrape.json"
MODEL = "bench-model"
PAGES = ("/metrics/translator", "/metrics/control", "/metrics")
#: Seconds until everything has started that starts after the first request.
SETTLE_SECONDS = 15.0
#: Kinds of requests, and requests of each that no scrape has counted.
KINDS, UNCOUNTED = 256, 250


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scrape", description=__doc__)
    parser.add_argument("--scrapes", type=int, default=100, help="of each page")
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--settle-seconds", type=float, default=SETTLE_SECONDS)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    measured: dict[str, Any] = {"largest": asyncio.run(largest_page())}
    with tempfile.TemporaryDirectory(prefix="tl-bench-") as name:
        directory = Path(name)
        with (
            running_upstream(directory) as upstream,
            started(directory, "gateway", configuration(upstream.port, [MODEL]), ready_model=MODEL) as gateway,
        ):
            time.sleep(given.settle_seconds)
            measured["idle_ms_per_second"] = idle(gateway, given.idle_seconds)
            measured["pages"] = {page: scraped(gateway, page, given.scrapes) for page in PAGES}
    given.output.parent.mkdir(exist_ok=True)
    given.output.write_text(json.dumps(measured, indent=2))
    show(measured)


def idle(gateway: Gateway, seconds: float) -> dict[str, float]:
    """Returns the milliseconds of CPU per second that each role takes without requests."""
    before, began = spent(gateway), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return {role: round((us - before[role]) / 1_000 / took, 2) for role, us in spent(gateway).items()}


def scraped(gateway: Gateway, page: str, scrapes: int) -> dict[str, Any]:
    """Returns the size of a page and the milliseconds of CPU that each role takes for a scrape."""
    for _ in range(3):
        size = scrape(gateway, page)
    before = spent(gateway)
    for _ in range(scrapes):
        scrape(gateway, page)
    costs = {role: round((us - before[role]) / 1_000 / scrapes, 2) for role, us in spent(gateway).items()}
    return {"bytes": size, "ms": costs}


def scrape(gateway: Gateway, page: str) -> int:
    """Scrapes a page once. Returns its size."""
    with urllib.request.urlopen(gateway.admin_url + page, timeout=30) as answer:
        return len(answer.read())


def spent(gateway: Gateway) -> Mapping[str, int]:
    """Returns the microseconds of CPU that each role has taken."""
    return {role: sum(map(cpu_us, pids)) for role, pids in roles_below(gateway.child.pid).items()}


async def largest_page() -> dict[str, float]:
    """Returns the size of the largest page, its CPU, and that of its longest step."""
    histograms, metrics = RequestHistograms(), Metrics()
    metrics.families.append(histograms.pieces)
    numbers = random.Random(0)
    for kind in range(KINDS):
        for _ in range(UNCOUNTED):
            reservation = Reservation("id", 1.0, "org", "key", "rt", f"model-{kind}", 100, 0, 12, True, "", "")
            duration, first_byte = numbers.choices(range(10**6), k=2)
            line = RequestLine(
                reservation, "openai/m", "", "", 1, 200, "", 10, 10, first_byte, duration, None, None, 0
            )
            histograms.observe(line, reservation, Bill(Tokens(12, 0, numbers.randrange(1, 10**5), 0), 1_000, 1))
    steps: list[float] = []

    async def others() -> None:
        began = time.thread_time()
        while True:
            await asyncio.sleep(0)
            ended = time.thread_time()
            steps.append(ended - began)
            began = ended

    other = asyncio.create_task(others())
    await asyncio.sleep(0)
    size = len((await metrics.response()).body)
    other.cancel()
    return {
        "bytes": size,
        "ms": round(sum(steps) * 1_000, 1),
        "longest_step_ms": round(max(steps) * 1_000, 1),
    }


def show(measured: Mapping[str, Any]) -> None:
    for page, found in measured["pages"].items():
        costs = ", ".join(f"{role} {ms:.2f}" for role, ms in found["ms"].items() if ms >= 0.005)
        print(f"a scrape of {page}: {found['bytes']:,} bytes; ms of CPU: {costs}")
    idling = ", ".join(f"{role} {ms:.2f}" for role, ms in measured["idle_ms_per_second"].items())
    print(f"without requests, ms of CPU per second: {idling}")
    largest = measured["largest"]
    print(
        f"the translator's largest page: {largest['bytes']:,} bytes, {largest['ms']} ms of CPU, "
        f"{largest['longest_step_ms']} ms at most in one step"
    )


if __name__ == "__main__":
    main()
