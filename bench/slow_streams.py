"""Measures thousands of slow streams at once: the memory of each, and the CPU of an event."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import load
from bench.errors import LoadFailedError
from bench.load import Load, LoadResult
from bench.processes import memory
from bench.rounds import Progress, cpu_by_role, cpu_spent
from bench.scenarios import SLOW_MODEL, SlowStreams
from bench.subject import Subject
from bench.upstream import Upstream

SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class HeldStreams:
    """`kib_per_stream` is added anonymous memory by role; `cpu` is µs per event while all ran, by role."""

    streams: int
    kib_per_stream: dict[str, float]
    cpu: dict[str, float]
    events_per_second: float
    errors: int


def hold(
    subject: Subject, upstream: Upstream, plan: SlowStreams, directory: Path, progress: Progress
) -> HeldStreams:
    """Holds the streams. Call it right after the start: memory freed by earlier load would hide theirs."""
    request = directory / f"request-slow-{subject.name}"
    request.write_bytes(load.request_bytes(SLOW_MODEL, 1024, subject.api_key, stream=True))
    load.run(subject, request, Load(connections=4, seconds=0.3, drain=0))  # so that every code path has run once
    progress(f"{plan.streams} slow streams, {subject.name}")
    memory_before = _anonymous(subject)
    seconds = plan.ramp + SETTLE_SECONDS + plan.hold
    held = Load(connections=plan.streams, seconds=seconds, drain=0.2, ramp=plan.ramp)
    with subprocess.Popen(
        load.command(subject.port, request, held), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        time.sleep(plan.ramp + SETTLE_SECONDS)
        cpu_before, events_before, begun = cpu_by_role(subject), upstream.stats()["events"], time.monotonic()
        time.sleep(max(0.5, plan.hold - 0.5))
        cpu_after, events_after, ended = cpu_by_role(subject), upstream.stats()["events"], time.monotonic()
        memory_after = _anonymous(subject)
        output, complaint = process.communicate(timeout=60)
    if process.returncode != 0:
        raise LoadFailedError(f"loadgen ended with status {process.returncode}: {complaint.strip()}")
    result = LoadResult.parse(output)
    gained = {role: (memory_after[role] - memory_before[role]) / plan.streams for role in memory_before}
    return HeldStreams(
        streams=result.open_streams,
        kib_per_stream=gained,
        cpu=cpu_spent(cpu_before, cpu_after, events_after - events_before),
        events_per_second=(events_after - events_before) / (ended - begun),
        errors=result.errors,
    )


def peak_kib(subjects: Sequence[Subject]) -> dict[str, dict[str, int]]:
    """Returns the peak resident memory in KiB of every role of every subject."""
    return {
        subject.name: {role: sum(memory(pid).peak for pid in pids) for role, pids in subject.roles.items()}
        for subject in subjects
    }


def _anonymous(subject: Subject) -> dict[str, int]:
    return {role: sum(memory(pid).anonymous for pid in pids) for role, pids in subject.roles.items()}
