"""`python -m bench.tunnel`: measures the cost and the delay of an event in a node's sidecar.

The gateway's end is the tests' h2 client, which is slower than Envoy: throughput is a lower bound.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Child, cpu_us, memory
from tests.node_sidecar.support.gateway import Gateway
from tests.node_sidecar.support.peer import Peer
from tests.node_sidecar.support.pki import Authority

_STAMP = re.compile(rb"data: (\d{20}) ")
_WINDOW = 16 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """`pause` is in microseconds between a stream's events; 0: as fast as possible."""

    streams: int
    events: int
    pause: int


PLANS = (Plan(1, 5_000, 1_000), Plan(20, 1_000, 20_000), Plan(200, 200, 50_000), Plan(1, 50_000, 0))


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of an event: the sidecar's CPU in µs, events per second, and milliseconds from local server to
    gateway.
    """

    plan: Plan
    cpu: float
    rate: float
    p50: float | None
    p99: float | None
    peak_kib: int


class Stamps:
    """Records the age of each event at its arrival."""

    def __init__(self, peer: Peer) -> None:
        self.ages: list[int] = []
        peer.on_data = self._take

    def _take(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.ages += [now - int(stamp) for stamp in _STAMP.findall(data)]


async def measure(plans: Sequence[Plan], directory: Path) -> list[Cost]:
    """Starts a local server and a node; this process is the gateway. Raises BenchError."""
    authority = Authority(directory)
    certificate, key = authority.issue("nd-bench")
    async with Gateway(authority.server()) as gateway:
        with Child([sys.executable, "-m", "bench.tunnel_local"], directory / "local.log") as local:
            port = await asyncio.to_thread(local.wait_for_line, r"^port (\d+)$", 30)
            files = (str(authority.file), str(certificate), str(key))
            command = [sys.executable, "-m", "bench.tunnel_node", str(gateway.port), port[1], *files]
            with Child(command, directory / "node.log") as node:
                async with asyncio.timeout(30):
                    peer = await (await gateway.tunnel()).use(window=_WINDOW)
                await _run(peer, Plan(1, 10, 0), node.pid)  # every code path has run once
                costs = [await _run(peer, plan, node.pid) for plan in plans]
                await peer.close()
                return costs


async def _run(peer: Peer, plan: Plan, pid: int) -> Cost:
    stamps = Stamps(peer)
    cpu_before, began = cpu_us(pid), time.monotonic()
    streams = [peer.chat(f"events-{plan.events}-{plan.pause}", stream=True) for _ in range(plan.streams)]
    answers = [await peer.answer(stream) for stream in streams]
    cpu, seconds = cpu_us(pid) - cpu_before, time.monotonic() - began
    assert all(answer.ended for answer in answers)
    count = plan.streams * plan.events
    assert sum(len(_STAMP.findall(answer.data)) for answer in answers) == count
    ages = sorted(stamps.ages)  # without the few that are split across frames
    # Without pauses, an event's age is its time in the queue behind the others.
    p50, p99 = (ages[len(ages) // 2] / 1e6, ages[len(ages) * 99 // 100] / 1e6) if plan.pause else (None, None)
    return Cost(plan, cpu / count, count / seconds, p50, p99, memory(pid).peak)


def as_text(costs: Sequence[Cost]) -> str:
    lines = ["streams   events  pause ms   CPU µs/event   events/s   p50 ms   p99 ms   peak MiB"]
    for cost in costs:
        plan = cost.plan
        ages = " ".join("       -" if age is None else f"{age:8.2f}" for age in (cost.p50, cost.p99))
        lines.append(
            f"{plan.streams:7} {plan.streams * plan.events:8} {plan.pause / 1000:9.1f} {cost.cpu:14.1f}"
            f" {cost.rate:10.0f} {ages} {cost.peak_kib / 1024:10.1f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(as_text(asyncio.run(measure(PLANS, Path(scratch)))))
