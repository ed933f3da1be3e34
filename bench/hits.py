"""`python -m bench.hits`: compares the cost of an answer from the cache with that of a refusal, in Envoy and in
the translator.

One gateway gets the same request of 1 KB for two routes in alternating rounds: one has its answer in the
translator's memory, the other one's limit is used up. Neither reaches a target.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.gateway import document, roles_below, started, wait_for_ledger
from bench.load import Load
from bench.lock import exclusive
from bench.rounds import Outcome, Progress, measure as measure_rounds
from bench.scenarios import PLAIN_MODEL, Scenario
from bench.subject import Subject
from bench.upstream import running_upstream

RESULTS = Path(__file__).parent / "results" / "hits.json"
REFUSAL, HIT = "refusal", "hit"
#: The highest ratio of a hit's CPU to a refusal's.
GOAL = 1.2


def measure(directory: Path, rounds: int, seconds: float, progress: Progress) -> Outcome:
    """Measures the CPU per request of a refusal and of a hit. Raises BenchError."""
    target = {"provider": "bench", "model": PLAIN_MODEL}
    routes: list[dict[str, Any]] = [
        {"model": f"{HIT}-{PLAIN_MODEL}", "targets": [target], "cache": {"ttl": "1h"}},
        {
            "model": f"{REFUSAL}-{PLAIN_MODEL}",
            "targets": [target],
            "limits": [{"metric": "requests", "per": "60s", "amount": 0}],
        },
    ]
    load = Load(connections=16, seconds=seconds)
    with (
        running_upstream(directory, "hits-upstream", (PLAIN_MODEL,)) as upstream,
        started(
            directory,
            "hits-gateway",
            document({"bench": upstream.port}, routes),
            ready_model=f"{HIT}-{PLAIN_MODEL}",
            arguments=("--envoy-concurrency", "1"),
        ) as gateway,
    ):
        finish = partial(wait_for_ledger, gateway.admin_url)
        roles = roles_below(gateway.child.pid)
        refusal = Subject(REFUSAL, gateway.port, roles, gateway.api_key, f"{REFUSAL}-", finish)
        subjects = [refusal, replace(refusal, name=HIT, prefix=f"{HIT}-")]
        scenario = Scenario("1 KB, closed loop", PLAIN_MODEL, 1024, False, load, "request")
        return measure_rounds(scenario, subjects, rounds, directory, progress)


def table(outcome: Outcome) -> str:
    """Formats the results as Markdown."""
    refusal, hit = outcome.by_subject[REFUSAL], outcome.by_subject[HIT]
    lines = [
        "| CPU per request | Envoy | translator | control plane and supervisor | in all | per second |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in ((REFUSAL, refusal), (HIT, hit)):
        rest = each.total - each.envoy - each.cpu["translator"]
        lines.append(
            f"| {name} | {each.envoy:.0f} µs | {each.cpu['translator']:.0f} µs | {rest:.0f} µs | "
            f"{each.total:.0f} µs | {each.per_second:,.0f} |"
        )
    ratios = [mine / its for mine, its in zip(hit.cpu_by_round, refusal.cpu_by_round, strict=True)]
    envoy, translator = (hit.cpu[role] / refusal.cpu[role] for role in ("envoy", "translator"))
    lines.append(
        f"\nA hit costs {median(ratios):.2f} x a refusal's CPU ({min(ratios):.2f} to {max(ratios):.2f}): Envoy "
        f"{envoy:.2f} x, the translator {translator:.2f} x. Goal: {GOAL} x."
    )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.hits", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="rounds; medians are reported (6)")
    parser.add_argument("--seconds", type=float, default=2, help="seconds per round (2)")
    options = parser.parse_args(arguments)
    with exclusive(), tempfile.TemporaryDirectory(prefix="trunkline-bench-") as temporary:
        outcome = measure(
            Path(temporary), options.rounds, options.seconds, lambda line: print(line, file=sys.stderr, flush=True)
        )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    cpu = {name: each.cpu for name, each in outcome.by_subject.items()}
    RESULTS.write_text(json.dumps(cpu, indent=2) + "\n")
    print(table(outcome))
    return 1 if outcome.by_subject[HIT].errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
