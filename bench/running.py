"""`python -m bench.running`: what it costs to watch the requests that run, once a second, among 2,000 streams.

A gateway as users start it holds slow streams, one event a second each. Windows in which nobody watches alternate
with windows in which the console's call (`GET /admin/v1/requests?limit=200`) comes once a second; what the watched
ones take more, of all processes together, is the cost, in percent of a core. Prints a table and writes JSON to
bench/results/.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import load
from bench.gateway import Gateway, configuration, roles_below, started
from bench.load import Load
from bench.processes import cpu_us
from bench.scenarios import SLOW_MODEL
from bench.upstream import running_upstream

RESULTS = Path(__file__).parent / "results" / "running.json"
#: Percent of a core.
GOAL = 5.0
SETTLE_SECONDS = 15.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.running", description=__doc__)
    parser.add_argument("--streams", type=int, default=2_000)
    parser.add_argument("--seconds", type=int, default=10, help="of a window")
    parser.add_argument("--pairs", type=int, default=5, help="windows of each kind")
    parser.add_argument("--limit", type=int, default=200, help="requests that are listed, as the console lists")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tl-bench-") as name:
        directory = Path(name)
        with (
            running_upstream(directory) as upstream,
            started(
                directory,
                "gateway",
                configuration(upstream.port, [SLOW_MODEL]),
                ready_model=SLOW_MODEL,
                arguments=("--envoy-concurrency", "1"),
            ) as gateway,
        ):
            measured = run(gateway, directory, given)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(measured, indent=2))
    show(measured)


def run(gateway: Gateway, directory: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Holds the streams for as long as the windows take."""
    request = directory / "request"
    request.write_bytes(load.request_bytes(SLOW_MODEL, 1024, gateway.api_key, stream=True))
    ramp = given.streams / 200
    seconds = ramp + SETTLE_SECONDS + 2 * given.pairs * (given.seconds + 1)
    held = Load(connections=given.streams, seconds=seconds, drain=0.2, ramp=ramp)
    with subprocess.Popen(load.command(gateway.port, request, held), stdout=subprocess.PIPE) as generator:
        time.sleep(ramp + SETTLE_SECONDS)
        quiet: list[Mapping[str, float]] = []
        watched: list[Mapping[str, float]] = []
        listed: dict[str, Any] = {}
        for _ in range(given.pairs):
            quiet.append(window(gateway, given.seconds, 0)[0])
            cost, listed = window(gateway, given.seconds, given.limit)
            watched.append(cost)
        generator.terminate()
    roles = sorted(quiet[0])
    costs = {
        role: round(
            statistics.median(after[role] - before[role] for after, before in zip(watched, quiet, strict=True)), 2
        )
        for role in roles
    }
    totals = [sum(after.values()) - sum(before.values()) for after, before in zip(watched, quiet, strict=True)]
    return {
        "streams": given.streams,
        "running": listed.get("running", 0),
        "listed": len(listed.get("requests", ())),
        "percent_by_role": costs,
        "percent": round(statistics.median(totals), 2),
        "percent_of_each_pair": [round(each, 2) for each in totals],
        "quiet_percent": round(statistics.median(sum(each.values()) for each in quiet), 2),
    }


def window(gateway: Gateway, seconds: int, limit: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Returns percent of a core by role, and the last answer; with `limit` 0, nobody watches."""
    roles, found = roles_below(gateway.child.pid), {}
    before = {role: sum(map(cpu_us, pids)) for role, pids in roles.items()}
    began = time.monotonic()
    for number in range(1, seconds + 1):
        if limit:
            found = watch(gateway, limit)
        time.sleep(max(0.0, began + number - time.monotonic()))
    took = time.monotonic() - began
    spent = {role: sum(map(cpu_us, pids)) - before[role] for role, pids in roles.items()}
    return {role: each / took / 10_000 for role, each in spent.items()}, found


def watch(gateway: Gateway, limit: int) -> dict[str, Any]:
    """The call of the console's page."""
    asked = urllib.request.Request(
        f"{gateway.admin_url}/admin/v1/requests?limit={limit}",
        headers={"authorization": f"Bearer {gateway.admin_token}", "accept-encoding": "gzip"},
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        content = answer.read()
    found: dict[str, Any] = json.loads(content)
    return found


def show(measured: dict[str, Any]) -> None:
    print(f"{measured['running']:,} streams run, and {measured['listed']} of them are listed once a second")
    for role, cost in measured["percent_by_role"].items():
        print(f"  {role:12} {cost:6.2f} % of a core")
    within = "holds" if measured["percent"] < GOAL else "is missed"
    print(f"  {'all':12} {measured['percent']:6.2f} %, each pair {measured['percent_of_each_pair']}")
    print(f"  the goal of {GOAL:g} % {within}; unwatched they take {measured['quiet_percent']} %")


if __name__ == "__main__":
    main()
