"""`python -m bench`: compares the gateway with a bare Envoy, and measures start, changes, failover and control
plane.

Prints tables on standard output and writes JSON to bench/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import changes, failover, start, through_node
from bench.bare_envoy import running_bare_envoy
from bench.errors import BenchError, ProcessFailedError
from bench.gateway import running_gateway
from bench.lock import exclusive
from bench.report import Results, as_json, as_text
from bench.rounds import Outcome, measure
from bench.scenarios import MODELS, Scenario, SlowStreams, scenarios
from bench.slow_streams import HeldStreams, hold, peak_kib
from bench.subject import Subject
from bench.timed import Timed
from bench.upstream import running_upstream

RESULTS = Path(__file__).parent / "results"
SLOW_STREAMS, CONTROL_PLANE = "slow streams", "control plane"
CONTROL_PLANE_SECONDS = 300.0


def progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """Returns the machine and the time of the run."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


@dataclass(frozen=True, slots=True)
class Compared:
    """Compares the gateway with the bare Envoy."""

    outcomes: Sequence[Outcome] = ()
    held: Mapping[str, HeldStreams] = field(default_factory=dict)
    peak_kib: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def _rounds(options: argparse.Namespace) -> tuple[int, float]:
    """The number of rounds, and the seconds of each."""
    return (1, 0.6) if options.quick else (options.rounds, options.seconds)


def compare(options: argparse.Namespace, directory: Path) -> Compared:
    """Runs scenarios and slow streams against both. Raises BenchError."""
    rounds, seconds = _rounds(options)
    plan = SlowStreams(options.streams, 2, 1.5) if options.quick else SlowStreams(options.streams, 5, 10)
    chosen = [each for each in scenarios(seconds=seconds) if options.only in each.name]
    held_chosen = plan.streams > 0 and options.only in SLOW_STREAMS
    if not chosen and not held_chosen:
        return Compared()
    with ExitStack() as stack:
        upstream = stack.enter_context(running_upstream(directory))
        direct = Subject(name="direct", port=upstream.port, roles={})
        subjects = [stack.enter_context(running_bare_envoy(directory, upstream.port))]
        if not options.bare_only:
            progress("starting the gateway")
            subjects.append(stack.enter_context(running_gateway(directory, upstream.port, MODELS)))
        held = (
            {each.name: hold(each, upstream, plan, directory, progress) for each in subjects}
            if held_chosen
            else {}
        )

        def against(scenario: Scenario) -> list[Subject]:
            return [direct, *subjects] if scenario.against_direct else subjects

        outcomes = [measure(each, against(each), rounds, directory, progress) for each in chosen]
        return Compared(outcomes, held, peak_kib(subjects))


def time_gateway(options: argparse.Namespace, directory: Path) -> list[Timed]:
    """Measures start, changes and failover, each with its own gateways. Raises BenchError."""
    timed: list[Timed] = []
    if options.only in start.GROUP:
        timed += start.measure(directory, 1 if options.quick else 3, progress)
    if options.only in changes.GROUP:
        timed += changes.measure(directory, 3 if options.quick else 20, progress)
    if options.only in failover.GROUP:
        timed += failover.measure(directory, failover.AFTER_SECONDS, progress)
    return timed


def measure_control_plane(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Runs `bench.control_plane` in a separate process, because its memory is one of the results. Raises
    BenchError.
    """
    progress(CONTROL_PLANE)
    file = directory / "control_plane.json"
    command = [sys.executable, "-m", "bench.control_plane", "--json", str(file)]
    if options.quick:
        command += ["--endpoints", "1000", "--pools", "10", "--routes", "50", "--clients", "10", "--flips", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CONTROL_PLANE_SECONDS)
    if done.returncode != 0:
        raise ProcessFailedError(f"bench.control_plane ended with status {done.returncode}: {done.stderr[-2000:]}")
    return dict(json.loads(file.read_text()))


def run(options: argparse.Namespace) -> Results:
    """Runs the chosen benchmarks. Raises BenchError."""
    with exclusive(), tempfile.TemporaryDirectory(prefix="trunkline-bench-") as temporary:
        directory = Path(temporary)
        compared = compare(options, directory)
        whole = not options.bare_only
        through, ages = (
            through_node.measure(directory, *_rounds(options), progress)
            if whole and options.only in through_node.GROUP
            else ([], [])
        )
        return Results(
            machine=machine(),
            outcomes=[*compared.outcomes, *through],
            held=compared.held,
            peak_kib=compared.peak_kib,
            timed=[*ages, *(time_gateway(options, directory) if whole else ())],
            control_plane=(
                measure_control_plane(options, directory) if whole and options.only in CONTROL_PLANE else {}
            ),
        )


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round of 0.6 s each: a smoke test")
    parser.add_argument("--rounds", type=int, default=6, help="rounds per scenario; medians are reported (6)")
    parser.add_argument("--seconds", type=float, default=2, help="seconds per round (2)")
    parser.add_argument("--streams", type=int, default=2000, help="concurrent slow streams, 0 for none (2000)")
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help=f"only parts with TEXT in their names: a scenario, {SLOW_STREAMS}, {start.GROUP}, {changes.GROUP}, "
        f"{failover.GROUP}, {through_node.GROUP}, {CONTROL_PLANE}",
    )
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
