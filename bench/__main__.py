"""`python -m bench`: the gateway beside a bare Envoy; a table on standard output, JSON in bench/results/."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.bare_envoy import running_bare_envoy
from bench.errors import BenchError
from bench.gateway import running_gateway
from bench.report import Results, as_json, as_text
from bench.rounds import measure
from bench.scenarios import MODELS, Scenario, SlowStreams, scenarios
from bench.slow_streams import hold, peak_kib
from bench.subject import Subject
from bench.upstream import running_upstream

RESULTS = Path(__file__).parent / "results"


def progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """Where and when."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


def run(options: argparse.Namespace) -> Results:
    """The whole benchmark. Raises BenchError."""
    rounds, seconds = (1, 0.6) if options.quick else (options.rounds, options.seconds)
    plan = SlowStreams(options.streams, 2, 1.5) if options.quick else SlowStreams(options.streams, 5, 10)
    chosen = [each for each in scenarios(seconds=seconds) if options.only in each.name]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-")))
        upstream = stack.enter_context(running_upstream(directory))
        direct = Subject(name="direct", port=upstream.port, roles={})
        subjects = [stack.enter_context(running_bare_envoy(directory, upstream.port))]
        if not options.bare_only:
            progress("starting the gateway")
            subjects.append(stack.enter_context(running_gateway(directory, upstream.port, MODELS)))
        held = {each.name: hold(each, upstream, plan, directory, progress) for each in subjects if plan.streams}

        def against(scenario: Scenario) -> list[Subject]:
            return [direct, *subjects] if scenario.against_direct else subjects

        outcomes = [measure(each, against(each), rounds, directory, progress) for each in chosen]
        return Results(machine(), outcomes, held, peak_kib(subjects))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 0.6 s each: a smoke test")
    parser.add_argument("--rounds", type=int, default=8, help="rounds per scenario; medians are reported (8)")
    parser.add_argument("--seconds", type=float, default=2, help="seconds per round (2)")
    parser.add_argument("--streams", type=int, default=2000, help="concurrent slow streams, 0 for none (2000)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only scenarios whose name contains TEXT")
    parser.add_argument("--bare-only", action="store_true", help="without the gateway: how noisy is this machine?")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where the JSON goes (bench/results/<time>.json)"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    begun = time.monotonic()
    try:
        results = run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    file: Path = options.json or RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(as_json(results), indent=2) + "\n")
    print(as_text(results))
    progress(f"{time.monotonic() - begun:.0f} s; JSON in {file}")
    return 1 if results.errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
