"""Runs rounds: each scenario against each subject in turn, so that noise of the machine affects all alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import load
from bench.load import Latency, LoadResult
from bench.processes import cpu_us
from bench.scenarios import Scenario
from bench.subject import Subject

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of one subject in one scenario: medians over the rounds, but the sum of errors. CPU is µs per
    unit, by role.

    `cpu_by_round` has the totals, to be paired with another subject's.
    """

    cpu: dict[str, float]
    per_second: float
    first_byte: Latency
    whole: Latency
    errors: int
    cpu_by_round: tuple[float, ...] = ()

    @property
    def envoy(self) -> float:
        return self.cpu.get("envoy", 0.0)

    @property
    def python(self) -> float:
        """The CPU of everything except Envoy."""
        return sum(cost for role, cost in self.cpu.items() if role != "envoy")

    @property
    def total(self) -> float:
        return sum(self.cpu.values())


@dataclass(frozen=True, slots=True)
class Outcome:
    """A scenario and the results of each subject, by name."""

    scenario: Scenario
    by_subject: dict[str, Measured]

    @property
    def ratios(self) -> list[float]:
        """The CPU ratio gateway/bare of each round, whose two parts had the same noise; empty without a
        gateway.
        """
        gateway, bare = self.by_subject.get("gateway"), self.by_subject.get("bare")
        if gateway is None or bare is None:
            return []
        return [mine / its for mine, its in zip(gateway.cpu_by_round, bare.cpu_by_round, strict=True) if its]


def cpu_by_role(subject: Subject) -> dict[str, int]:
    """Returns the microseconds used so far."""
    return {role: sum(map(cpu_us, pids)) for role, pids in subject.roles.items()}


def cpu_spent(before: dict[str, int], after: dict[str, int], units: int) -> dict[str, float]:
    """Returns the microseconds per unit, by role."""
    return {role: (after[role] - before[role]) / max(1, units) for role in before}


def measure(
    scenario: Scenario, subjects: Sequence[Subject], rounds: int, directory: Path, progress: Progress
) -> Outcome:
    """Runs the rounds, after a short unmeasured one. Raises LoadFailedError."""
    requests: dict[str, Path] = {}
    for subject in subjects:
        requests[subject.name] = directory / f"request-{subject.name}"
        requests[subject.name].write_bytes(
            load.request_bytes(
                subject.prefix + scenario.model, scenario.prompt_bytes, subject.api_key, stream=scenario.stream
            )
        )
        load.run(subject, requests[subject.name], dataclasses.replace(scenario.load, seconds=0.3))
    found: dict[str, list[Measured]] = {subject.name: [] for subject in subjects}
    for number in range(rounds):
        # Alternates the order, so that neither always comes after the other.
        for subject in subjects if number % 2 == 0 else reversed(subjects):
            progress(f"{scenario.name}: round {number + 1} of {rounds}, {subject.name}")
            before = cpu_by_role(subject)
            result = load.run(subject, requests[subject.name], scenario.load)
            subject.finish()  # accounting after the round is part of the cost
            after = cpu_by_role(subject)
            found[subject.name].append(_measured(scenario, result, before, after))
    return Outcome(scenario, {name: _medians(each) for name, each in found.items()})


def _measured(scenario: Scenario, result: LoadResult, before: dict[str, int], after: dict[str, int]) -> Measured:
    units = result.events if scenario.unit == "event" else result.completed
    return Measured(
        cpu=cpu_spent(before, after, units),
        per_second=units / result.seconds,
        first_byte=result.first_byte,
        whole=result.whole,
        errors=result.errors,
    )


def _medians(rounds: Sequence[Measured]) -> Measured:
    return Measured(
        cpu={role: median(each.cpu[role] for each in rounds) for role in rounds[0].cpu},
        per_second=median(each.per_second for each in rounds),
        first_byte=_median_latency([each.first_byte for each in rounds]),
        whole=_median_latency([each.whole for each in rounds]),
        errors=sum(each.errors for each in rounds),
        cpu_by_round=tuple(each.total for each in rounds),
    )


def _median_latency(latencies: Sequence[Latency]) -> Latency:
    return Latency(
        p50=round(median(latency.p50 for latency in latencies)),
        p99=round(median(latency.p99 for latency in latencies)),
    )
