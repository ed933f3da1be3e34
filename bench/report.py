"""Formats the results as a table for people and as JSON for machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tabulate import tabulate

from bench.control_plane_report import table as control_plane_table
from bench.rounds import Measured, Outcome
from bench.slow_streams import HeldStreams
from bench.timed import Timed


@dataclass(frozen=True, slots=True)
class Results:
    """The results of one run; `machine` describes the machine."""

    machine: Mapping[str, Any]
    outcomes: Sequence[Outcome]
    held: Mapping[str, HeldStreams]
    peak_kib: Mapping[str, Mapping[str, int]]
    timed: Sequence[Timed] = ()
    control_plane: Mapping[str, Any] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        """The number of requests without a complete 200: with any, the figures mean little."""
        measured = [each for outcome in self.outcomes for each in outcome.by_subject.values()]
        timed = sum(each.failed for each in self.timed)
        return timed + sum(each.errors for each in measured) + sum(each.errors for each in self.held.values())


def as_json(results: Results) -> dict[str, Any]:
    """Returns everything as JSON values: CPU in µs per unit by role, latencies in µs, memory in KiB."""
    return {
        "machine": dict(results.machine),
        "errors": results.errors,
        "scenarios": [
            {
                **dataclasses.asdict(outcome.scenario),
                "subjects": {name: dataclasses.asdict(each) for name, each in outcome.by_subject.items()},
                "cpu_ratio": _ratio(outcome),
                "cpu_ratios": outcome.ratios,
            }
            for outcome in results.outcomes
        ],
        "slow_streams": {name: dataclasses.asdict(each) for name, each in results.held.items()},
        "peak_rss_kib": {name: dict(roles) for name, roles in results.peak_kib.items()},
        "timed": [{**dataclasses.asdict(each), "met": each.met} for each in results.timed],
        "control_plane": dict(results.control_plane),
    }


def as_text(results: Results) -> str:
    """Formats tables, with the goals next to the ratios."""
    cpu = [outcome for outcome in results.outcomes if not outcome.scenario.against_direct]
    latency = [outcome for outcome in results.outcomes if outcome.scenario.against_direct]
    parts: list[str] = []
    if cpu:
        parts += ["CPU and throughput", _cpu_table(cpu)]
    if latency:
        parts.append("Latency at 50 requests/s, and the time added to a direct request (ms; streams: first byte)")
        parts.append(_latency_table(latency))
    if results.held:
        parts += ["Concurrent slow streams, one event per second each", _held_table(results.held)]
    if results.peak_kib:
        parts += ["Peak resident memory (MiB)", _peak_table(results.peak_kib)]
    if results.timed:
        parts += [
            "Start, changes, failover, age of events (ms; goals are for the worst)",
            _timed_table(results.timed),
        ]
    if results.control_plane:
        parts += ["The control plane", control_plane_table(results.control_plane)]
    if results.errors:
        parts.append(f"{results.errors} requests did not get a complete 200: these figures mean little.")
    return "\n\n".join(parts)


def _ratio(outcome: Outcome) -> float | None:
    return median(outcome.ratios) if outcome.ratios else None


def _spread(ratios: Sequence[float]) -> str:
    """Formats the lowest and highest round."""
    return f"{min(ratios):.1f}-{max(ratios):.1f}"


def _cpu_table(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for outcome in outcomes:
        for name, each in outcome.by_subject.items():
            ratio = _ratio(outcome) if name == "gateway" else None
            target = outcome.scenario.target if ratio is not None else None
            rows.append(
                [
                    outcome.scenario.name,
                    name,
                    f"{each.total:.1f}",
                    f"{each.envoy:.1f}",
                    _roles(each),
                    f"{each.per_second:,.0f}/s",
                    "" if ratio is None else f"{ratio:.2f} ({_spread(outcome.ratios)})",
                    ""
                    if target is None or ratio is None
                    else f"≤ {target:.1f} {'met' if ratio <= target else 'MISSED'}",
                    each.errors,
                ]
            )
    headers = ["", "", "CPU µs", "Envoy", "Python", "", "ratio", "target", "errors"]
    units = "CPU per request, of streams per event. The ratio is the median of the rounds (lowest-highest)."
    return tabulate(rows, headers, disable_numparse=True) + f"\n{units}"


def _roles(each: Measured) -> str:
    parts = ", ".join(f"{role} {cost:.1f}" for role, cost in each.cpu.items() if role != "envoy" and cost >= 0.05)
    return f"{each.python:.1f} ({parts})" if parts else ""


def _latency_table(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for outcome in outcomes:
        direct = outcome.by_subject["direct"]
        for name, each in outcome.by_subject.items():
            mine, floor = (
                (each.first_byte, direct.first_byte) if outcome.scenario.stream else (each.whole, direct.whole)
            )
            added = ["", ""] if name == "direct" else [_ms(mine.p50 - floor.p50), _ms(mine.p99 - floor.p99)]
            rows.append([outcome.scenario.name, name, _ms(mine.p50), _ms(mine.p99), *added, each.errors])
    return tabulate(rows, ["", "", "p50", "p99", "+ p50", "+ p99", "errors"], disable_numparse=True)


def _held_table(held: Mapping[str, HeldStreams]) -> str:
    rows = [
        [
            name,
            each.streams,
            f"{sum(each.kib_per_stream.values()):.1f}",
            ", ".join(f"{role} {kib:.1f}" for role, kib in each.kib_per_stream.items()),
            f"{sum(each.cpu.values()):.1f}",
            f"{each.events_per_second:,.0f}",
            each.errors,
        ]
        for name, each in held.items()
    ]
    headers = ["", "streams", "KiB/stream", "of which", "CPU µs/event", "events/s", "errors"]
    return tabulate(rows, headers, disable_numparse=True)


def _peak_table(peaks: Mapping[str, Mapping[str, int]]) -> str:
    rows = [[name, role, f"{kib / 1024:.0f}"] for name, roles in peaks.items() for role, kib in roles.items()]
    return tabulate(rows, disable_numparse=True)


def _timed_table(timed: Sequence[Timed]) -> str:
    rows = [
        [
            each.group,
            each.name,
            each.samples,
            *(f"{value:.{1 if value < 10 else 0}f}" for value in (each.p50, each.p99, each.worst)),
            "" if each.goal is None else f"≤ {each.goal:.0f} {'met' if each.met else 'MISSED'}",
            f"{each.failed} of {each.requests}" if each.requests else "",
        ]
        for each in timed
    ]
    return tabulate(rows, ["", "", "samples", "p50", "p99", "max", "goal", "failed"], disable_numparse=True)


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.2f}"
