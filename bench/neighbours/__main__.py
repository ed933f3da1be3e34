"""`python -m bench.neighbours`: runs a victim at 50 requests a second, half of them streams, during each attack.

Each attack has its own gateway, after a quiet time for comparison. Prints a table. Goal: no error of the victim,
its p99 at most three times the quiet one, and all of its records in the ledger.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench.errors import BenchError, ProcessFailedError
from bench.gateway import wait_for_ledger
from bench.lock import exclusive
from bench.neighbours.attacker import ATTACKS, GRACE_SECONDS, GREED, READERS
from bench.neighbours.memory import Peaks, roles_of
from bench.neighbours.operator import Operator
from bench.neighbours.scene import VICTIM, Scene, opened, recorded
from bench.neighbours.victim import Figures, Victim, wait

RATE = 50.0
WORST_RATIO = 3.0
#: Differences of a p99 below this are noise of the machine.
FLOOR_MS = 5.0
ROUTES = 2_000
ROLES = ("envoy", "translator", "parsers", "xds_server", "node")
_WARM_SECONDS = 1.0
#: After an attack, until its last requests have ended.
_AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one attack. `missing` are served requests of the victim that are not in the ledger."""

    attack: str
    quiet: Figures
    under: Figures
    peaks: dict[str, float]
    answered: dict[str, int]
    missing: int

    @property
    def ratio(self) -> float:
        """The ratio of the p99 to the quiet one."""
        return self.under.p99 / max(self.quiet.p99, FLOOR_MS / WORST_RATIO)

    @property
    def met(self) -> bool:
        """True if the goal is met."""
        return 0 == self.under.errors < self.under.requests and self.ratio <= WORST_RATIO and self.missing == 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The `seconds` of each attack, and the `rate` of the victim's requests. `quick`: one gateway for all
    attacks.
    """

    seconds: float = 30.0
    rate: float = RATE
    scale: float = 1.0
    quick: bool = False


QUICK = Plan(seconds=2, rate=20, scale=0.02, quick=True)


def measure(names: Sequence[str], plan: Plan, directory: Path) -> list[Outcome]:
    """Runs the attacks one after another. Raises BenchError."""
    if plan.quick:
        with opened(directory, "quick", routes=round(ROUTES * plan.scale), node=True) as scene:
            return [_beside(name, scene, plan) for name in names]
    outcomes = []
    for name in names:
        routes = round(ROUTES * plan.scale) if name == READERS else 0
        with opened(directory, _file(name), routes=routes, node=name == GREED) as scene:
            outcomes.append(_beside(name, scene, plan))
    return outcomes


def _beside(name: str, scene: Scene, plan: Plan) -> Outcome:
    """Runs one attack, after a quiet time for comparison."""
    print(name, file=sys.stderr, flush=True)
    node = scene.node.pid if scene.node is not None else None
    booked = recorded(scene.gateway, VICTIM)
    changes = Operator(scene.gateway) if name == READERS else nullcontext()
    with changes, Victim(scene, _file(name), plan.rate) as victim:
        time.sleep(_WARM_SECONDS)
        quiet_since = wait(max(2.0, plan.seconds / 2))
        began = time.monotonic()
        with Peaks(partial(roles_of, scene.gateway.child.pid, node)) as peaks:
            answered = _attack(name, scene, plan)
            time.sleep(_AFTER_SECONDS)
        ended = time.monotonic()
    quiet, under = victim.between(quiet_since, began), victim.between(began, ended)
    under = replace(under, requests=under.requests + victim.unanswered, errors=under.errors + victim.unanswered)
    with suppress(ProcessFailedError):  # then what is missing says it
        wait_for_ledger(scene.gateway.admin_url)
    missing = max(0, victim.served - (recorded(scene.gateway, VICTIM) - booked))
    return Outcome(name, quiet, under, peaks.mib, answered, missing)


def _file(name: str) -> str:
    return name.replace(" ", "-")


def _attack(name: str, scene: Scene, plan: Plan) -> dict[str, int]:
    """Returns the answers to the attacker."""
    file = scene.directory / "prey.json"
    scene.prey(plan.seconds, plan.scale).write(file)
    command = [sys.executable, "-m", "bench.neighbours.attacker", name, str(file)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=plan.seconds + GRACE_SECONDS,
            preexec_fn=_nice,
        )
    except subprocess.TimeoutExpired:
        return {"did not end in time": 1}
    if done.returncode != 0:
        raise ProcessFailedError(f"the attack {name} ended with status {done.returncode}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout))


def _nice() -> None:
    """Lowers the priority: a real attacker has its own machines, so on this one it may use only spare CPU."""
    os.nice(10)


def as_text(outcomes: Sequence[Outcome]) -> str:
    """Formats the results as a table."""
    head = ["attack", "requests", "errors", "p50 ms", "p99 ms", "quiet p99", "ratio", "unbooked"]
    head += [f"{role} MiB" for role in ROLES] + ["goal"]
    rows = [head]
    for each in outcomes:
        figures = each.under
        row = [each.attack, str(figures.requests), str(figures.errors), f"{figures.p50:.1f}", f"{figures.p99:.1f}"]
        row += [f"{each.quiet.p99:.1f}", f"{each.ratio:.1f}", str(each.missing)]
        row += [f"{each.peaks.get(role, 0):.0f}" if each.peaks.get(role) else "-" for role in ROLES]
        rows.append([*row, "met" if each.met else "MISSED"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(word.rjust(width) if index else word.ljust(width) for index, (word, width) in
             enumerate(zip(row, widths, strict=True))) for row in rows]  # fmt: skip
    reported = [
        f"{each.attack}: {', '.join(f'{what} {n}' for what, n in sorted(each.answered.items()))}"
        for each in outcomes
    ]
    return "\n".join([*lines, "", "Answers to the attacker:", *reported])


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.neighbours", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="of each attack (30)")
    parser.add_argument("--scale", type=float, default=1, help="of the attacks: connections, bytes, clients (1)")
    parser.add_argument("--only", default="", metavar="TEXT", help=f"attacks with TEXT in: {', '.join(ATTACKS)}")
    parser.add_argument("--quick", action="store_true", help="small attacks on one gateway: a smoke test")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Runs the command; exits with 1 if a goal is missed."""
    options = parse(arguments)
    names = [name for name in ATTACKS if options.only in name]
    plan = QUICK if options.quick else Plan(options.seconds, scale=options.scale)
    try:
        with exclusive(), tempfile.TemporaryDirectory(prefix="tl-bench-") as directory:
            outcomes = measure(names, plan, Path(directory))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(as_text(outcomes))
    return 0 if all(each.met for each in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
