"""Measures what clients notice when an upstream fails: time, and nothing else.

Each fault has its own target with a common backup, so that none is still ejected because of another's fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.errors import UnsettledError
from bench.gateway import Gateway, document, started
from bench.load import request_bytes
from bench.recorded import RecordedLoad
from bench.rounds import Progress
from bench.timed import Timed
from tests.fakes.provider_process import ProviderProcess

GROUP = "failover"
RATE, CONNECTIONS = 50, 200
FIRST_BYTE_SECONDS = 1.0
BEFORE_SECONDS, AFTER_SECONDS = 2.0, 3.0
# Includes what Envoy and a busy machine may add to the time limit.
SILENT_GOAL_SECONDS = FIRST_BYTE_SECONDS + 0.25
GOAL_SECONDS = 0.25
BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class Fault:
    """`target` is the provider's name and its model's; `goal` bounds the extra seconds of a request."""

    target: str
    description: str
    happens: Callable[[ProviderProcess], None]
    goal: float


FAULTS = (
    Fault("killed", "killed with -9", ProviderProcess.kill, GOAL_SECONDS),
    Fault("silent", "accepting, never answering", lambda each: each.behave("hang"), SILENT_GOAL_SECONDS),
    Fault("busy", "answering 429", lambda each: each.behave("status:429"), GOAL_SECONDS),
    Fault("broken", "answering 500", lambda each: each.behave("status:500"), GOAL_SECONDS),
)


def measure(directory: Path, after_seconds: float, progress: Progress) -> list[Timed]:
    """Injects each fault once, on one gateway. Raises BenchError."""
    with ExitStack() as stack:
        providers = {
            name: stack.enter_context(ProviderProcess(name))
            for name in (*(each.target for each in FAULTS), BACKUP)
        }
        routes = [
            {
                "model": each.target,
                "targets": [
                    {"provider": each.target, "model": each.target},
                    {"provider": BACKUP, "model": each.target, "tier": 1},
                ],
                "timeouts": {"first_byte": f"{FIRST_BYTE_SECONDS:g}s"},
            }
            for each in FAULTS
        ]
        config = document({name: each.port for name, each in providers.items()}, routes)
        gateway = stack.enter_context(started(directory, "failover", config, ready_model=FAULTS[0].target))
        return [
            _extra_latency(directory, gateway, each, providers[each.target], after_seconds, progress)
            for each in FAULTS
        ]


def _extra_latency(
    directory: Path,
    gateway: Gateway,
    fault: Fault,
    provider: ProviderProcess,
    after_seconds: float,
    progress: Progress,
) -> Timed:
    """Returns the times of requests due after the fault, minus the median of those before it."""
    progress(f"failover: an upstream {fault.description}")
    request = request_bytes(fault.target, 1024, gateway.api_key, stream=False)
    load = RecordedLoad(
        directory, f"failover-{fault.target}", gateway.port, request, rate=RATE, connections=CONNECTIONS
    )
    with load:
        time.sleep(BEFORE_SECONDS)
        begun = time.monotonic()
        fault.happens(provider)
        time.sleep(max(0.0, begun + after_seconds - time.monotonic()))
    before = [each for each in load.requests if each.ended < begun]
    # Requests in flight at the fault have met it too.
    after = [each for each in load.requests if each.ended >= begun]
    if {each.target for each in before} != {f"{fault.target}/{fault.target}"}:
        raise UnsettledError(f"the target {fault.target} did not serve alone before it failed; run it again")
    if not any(each.target.startswith(f"{BACKUP}/") for each in after):
        raise UnsettledError(f"nothing failed over from the target {fault.target}; run it again")
    usual = median(each.ended - each.due for each in before)
    return Timed.of(
        GROUP,
        f"upstream {fault.description}: extra latency",
        [max(0.0, each.ended - each.due - usual) for each in after],
        fault.goal,
        requests=len(load.requests) + load.unanswered,
        failed=load.failed,
    )
