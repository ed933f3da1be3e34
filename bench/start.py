"""Measures how long `trunkline up` takes, the first time and later on the same data."""

from __future__ import annotations

from pathlib import Path

from bench.gateway import configuration, started
from bench.rounds import Progress
from bench.scenarios import PLAIN_MODEL
from bench.timed import Timed
from bench.upstream import running_upstream

GROUP = "start"
GOAL_SECONDS = 5.0


def measure(directory: Path, times: int, progress: Progress) -> list[Timed]:
    """Measures first starts, each on new data, and as many later ones. Raises BenchError."""
    with running_upstream(directory) as upstream:
        first: list[tuple[float, float]] = []
        later: list[tuple[float, float]] = []
        for number in range(times):
            for which, taken in (("first", first), ("later", later)):
                progress(f"start: {which}, {number + 1} of {times}")
                taken.append(_start(directory / f"{number}", upstream.port))
    return [
        timed
        for which, taken in (("first", first), ("later", later))
        for timed in (
            Timed.of(GROUP, f"{which} start: up to `ready`", [each[0] for each in taken], GOAL_SECONDS),
            Timed.of(GROUP, f"{which} start: up to the first 200", [each[1] for each in taken], GOAL_SECONDS),
        )
    ]


def _start(directory: Path, upstream_port: int) -> tuple[float, float]:
    """Returns the seconds to `ready` and to the first 200; a second call with the same directory is a later
    start.
    """
    directory.mkdir(exist_ok=True)
    config = configuration(upstream_port, [PLAIN_MODEL])
    with started(directory, "data", config, ready_model=PLAIN_MODEL) as gateway:
        return gateway.ready_seconds, gateway.first_200_seconds
