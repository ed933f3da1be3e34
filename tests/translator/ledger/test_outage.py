"""Ten minutes of 100 requests a second without a control plane: nothing is lost, budgets hold, memory is bounded.

`pytest tests/translator/ledger/test_outage.py -rP` prints the figures that docs/ledger.md states.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from tests.translator.asking import Peer, check
from tests.translator.control_plane import ControlPlane
from tests.translator.ledger.collecting import Collector
from tests.translator.ledger.test_process import CHAT, translator
from tests.translator.ledger.writing import EnvoyLog, request_line
from tests.translator.test_process import Translator
from tests.waiting import until_answered

REQUESTS = 60_000
BUDGET = 59_000
#: Requests sent before an answer is read.
BATCH = 100
#: Requests after which the translator is killed as well, and after which its memory must not grow.
KILLED_AT, LEVEL_AT = 10_000, 20_000
MIB = 1 << 20
GROWTH = 8 * MIB


def memory(child: Translator) -> int:
    """Returns the resident bytes."""
    status = Path(f"/proc/{child.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def size(directory: Path, pattern: str) -> int:
    return sum(each.stat().st_size for each in directory.glob(pattern))


async def authorised(path: Path, ids: list[str]) -> dict[str, str]:
    """Sends checks for all ids as fast as they are answered. Returns the log contexts of those that may pass."""
    peer = await Peer.connect(path)
    allowed: dict[str, str] = {}
    for begin in range(0, len(ids), BATCH):
        batch = ids[begin : begin + BATCH]
        asked = [check(number, CHAT, x_request_id=request_id) for number, request_id in enumerate(batch, 1)]
        for answer in await peer.ask(asked):
            assert answer.status in (200, 429)
            if answer.status == 200:
                allowed[batch[answer.number - 1]] = answer.log_context
    await peer.close()
    return allowed


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_nothing_is_lost_in_ten_minutes_without_a_control_plane(tmp_path: Path) -> None:
    holder = policies.organisation()
    holder.limits.add(metric=policy.METRIC_REQUESTS, per_seconds=366 * 86_400, amount=BUDGET)
    control = ControlPlane(f"unix:{tmp_path}/ads", holder, policies.key(), policies.route())
    ledger = tmp_path / "ledger"
    async with control, translator(tmp_path) as child:
        await control.start()
        await child.until_ready()
        child.process.terminate()
        assert await child.process.wait() == 0

    log = EnvoyLog(ledger / "access.log")
    served: set[str] = set()
    memories = {}

    async def traffic(child: Translator, numbers: range) -> None:
        for begin in range(numbers.start, numbers.stop, 1_000):
            allowed = await authorised(child.path, [f"r{number}" for number in range(begin, begin + 1_000)])
            log.write(b"".join(request_line(each, note=noted) for each, noted in allowed.items()))
            served.update(allowed)

    async with translator(tmp_path) as child:
        assert (await child.until_ready())["policy"] != "control plane"
        await traffic(child, range(KILLED_AT))
        child.process.kill()
        await child.process.wait()
    async with translator(tmp_path) as child:
        await child.until_ready()
        memories[KILLED_AT] = memory(child)
        begun = time.monotonic()
        await traffic(child, range(KILLED_AT, LEVEL_AT))
        memories[LEVEL_AT] = memory(child)
        await traffic(child, range(LEVEL_AT, REQUESTS))
        memories[REQUESTS] = memory(child)
        authorising = time.monotonic() - begun
        assert len(served) == BUDGET
        assert served == {f"r{number}" for number in range(BUDGET)}
        written = {pattern: size(ledger, pattern) for pattern in ("access*", "reservations*", "limits.snapshot")}

        begun = time.monotonic()
        collector = Collector(tmp_path / "ads")
        await collector.start()
        await collector.until(served, timeout=120)
        took = time.monotonic() - begun

        async def nothing_pending() -> bool:
            state = (await child.until_ready())["ledger"]
            return not state["records_pending"] and not state["reservations"]

        await until_answered(nothing_pending)
        memories[-1] = memory(child)
    await collector.stop()
    log.close()
    figures = {number: f"{each / MIB:.0f} MiB" for number, each in memories.items()}
    print(f"memory after requests (-1: all shipped): {figures}; bytes on disk: {written}; shipped in {took:.1f} s")  # noqa: T201
    assert set(collector.records) == served
    assert all(each == same[0] for same in collector.records.values() for each in same)
    assert memories[REQUESTS] - memories[LEVEL_AT] < GROWTH
    assert memories[-1] - memories[LEVEL_AT] < GROWTH
    assert written["reservations*"] < 16 * MIB
    # Records are sent as fast as they are made, not at the pace of an idle log.
    assert took < 50 * authorising
