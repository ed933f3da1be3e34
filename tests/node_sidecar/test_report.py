from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import pytest
import structlog
from structlog.testing import capture_logs
from trunkline_proto.node.v1 import registry_pb2 as wire

from node_sidecar.errors import RemovedError
from node_sidecar.identity import utc_now
from node_sidecar.preferences.availability import Availability, Serves
from node_sidecar.renewable_identity import RenewableIdentity
from node_sidecar.report import Reporter, Timing
from node_sidecar.state import LocalNodeState
from tests.node_sidecar.support.joined import joined
from tests.node_sidecar.support.pki import NODE
from tests.node_sidecar.support.registry import Gateway
from tests.waiting import until

STATE = LocalNodeState(
    wire.NodeFacts(sidecar_version="1", protocol=1),
    (wire.Offer(model="m", healthy=True),),
    Availability(Serves.OPEN),
)
QUICK = Timing(connect=20.0, first_delay=0.01, max_delay=0.05, slow_delay=0.05)


class Reporting:
    """A running reporter; `state` is the state that it reports."""

    def __init__(self, identity: RenewableIdentity, timing: Timing, now: Callable[[], datetime]) -> None:
        self.state = STATE
        self.instructions: asyncio.Queue[wire.NodeInstruction] = asyncio.Queue()
        self.reporter = Reporter(
            identity,
            lambda: self.state,
            self.instructions.put_nowait,
            structlog.get_logger(),
            timing,
            now=now,
        )
        self.task = asyncio.create_task(self.reporter.run())

    async def instruction(self) -> wire.NodeInstruction:
        async with asyncio.timeout(60):
            return await self.instructions.get()


@asynccontextmanager
async def _reporting(
    gateway: Gateway, directory: Path, timing: Timing = QUICK, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[Reporting]:
    reporting = Reporting(await joined(gateway, directory / "state"), timing, now)
    try:
        yield reporting
    finally:
        reporting.task.cancel()
        await asyncio.gather(reporting.task, return_exceptions=True)


async def test_the_first_report_has_everything_and_heartbeats_follow(gateway: Gateway, tmp_path: Path) -> None:
    async with _reporting(gateway, tmp_path) as reporting:
        name, first = await gateway.reports.get()
        assert name == NODE
        assert first.facts == STATE.facts
        assert list(first.offers) == list(STATE.offers)
        assert await gateway.report() == wire.NodeReport(sequence=2)
        assert (await reporting.instruction()).lease_ms == 6000
        assert reporting.reporter.problem == ""


@pytest.mark.slow
async def test_the_gateway_sets_the_heartbeat(gateway: Gateway, tmp_path: Path) -> None:
    gateway.instruction.heartbeat_ms = 60_000
    async with _reporting(gateway, tmp_path) as reporting:
        await reporting.instruction()
        await gateway.report()
        gateway.instruct(wire.NodeInstruction(heartbeat_ms=100, tunnels=3))
        assert (await reporting.instruction()).tunnels == 3
        for _ in range(4):
            await gateway.report()


async def test_a_change_is_reported_at_once(gateway: Gateway, tmp_path: Path) -> None:
    gateway.instruction.heartbeat_ms = 60_000
    async with _reporting(gateway, tmp_path) as reporting:
        await gateway.report()
        await reporting.instruction()
        started = asyncio.get_running_loop().time()
        reporting.state = replace(STATE, availability=Availability(Serves.CLOSED, "paused by its owner"))
        reporting.reporter.changed()
        report = await gateway.report_with("availability")
        assert report.availability == wire.AVAILABILITY_CLOSED
        assert report.availability_reason == "paused by its owner"
        assert asyncio.get_running_loop().time() - started < 30  # the next heartbeat is a minute later


async def test_it_comes_back_after_every_restart_of_the_gateway(gateway: Gateway, tmp_path: Path) -> None:
    async with _reporting(gateway, tmp_path) as reporting:
        for _ in range(3):
            first = await gateway.report_with("facts")
            assert first.offers_complete
            await gateway.stop()
            while not gateway.reports.empty():
                gateway.reports.get_nowait()
            await gateway.start()
        await gateway.report_with("facts")
        assert reporting.task.done() is False


async def test_a_removed_node_learns_of_it_and_ends(gateway: Gateway, tmp_path: Path) -> None:
    async with _reporting(gateway, tmp_path) as reporting:
        await gateway.report()
        gateway.refusals["Report"] = grpc.StatusCode.NOT_FOUND, "removed by ada"
        gateway.instruct(gateway.instruction)
        with pytest.raises(RemovedError, match="removed by ada"):
            await asyncio.wait_for(reporting.task, 60)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (grpc.StatusCode.ABORTED, "another machine"),
        (grpc.StatusCode.UNAUTHENTICATED, "does not accept this node's certificate"),
        (grpc.StatusCode.INVALID_ARGUMENT, "refuses the report"),
    ],
)
async def test_what_will_not_mend_by_itself_is_reported_once_and_tried_slowly(
    gateway: Gateway, tmp_path: Path, code: grpc.StatusCode, says: str
) -> None:
    gateway.refusals["Report"] = code, "so it is"
    tried = 0
    refuse = gateway._refuse

    async def count(method: str, context: object) -> None:
        nonlocal tried
        tried += 1
        if tried == 4:
            gateway.refusals.clear()
        await refuse(method, context)  # type: ignore[arg-type]

    gateway._refuse = count  # type: ignore[method-assign]
    with capture_logs() as logs:
        async with _reporting(gateway, tmp_path) as reporting:
            await gateway.report()
            await reporting.instruction()
    reported = [entry for entry in logs if entry["event"] == "reports interrupted"]
    assert len(reported) == 1
    assert says in reported[0]["reason"]
    assert reported[0]["details"] == "so it is"


async def test_the_status_says_what_in_a_report_is_refused(gateway: Gateway, tmp_path: Path) -> None:
    gateway.refusals["Report"] = grpc.StatusCode.INVALID_ARGUMENT, "facts.a: is wrong\nfacts.b: " + "x" * 10_000
    async with _reporting(gateway, tmp_path) as reporting:
        await until(lambda: "refuses the report" in reporting.reporter.problem)
        assert reporting.reporter.problem.startswith(
            "the gateway refuses the report: facts.a: is wrong; facts.b: xxx"
        )
        assert len(reporting.reporter.problem) < 600


async def test_an_expired_certificate_is_reported_and_it_goes_on_trying(gateway: Gateway, tmp_path: Path) -> None:
    gateway.refusals["Report"] = grpc.StatusCode.UNAVAILABLE, "certificate expired"
    late = timedelta(hours=0)
    with capture_logs() as logs:
        async with _reporting(gateway, tmp_path, now=lambda: utc_now() + late) as reporting:
            late = timedelta(hours=25)
            await until(lambda: "has expired" in reporting.reporter.problem)
            gateway.refusals.clear()
            await gateway.report()
    assert any("join again" in str(entry.get("reason")) for entry in logs)


async def test_after_a_sleep_the_stream_is_opened_anew(gateway: Gateway, tmp_path: Path) -> None:
    """The wall clock jumps, while the monotonic one may have stood still."""
    jump = timedelta(0)
    async with _reporting(gateway, tmp_path, now=lambda: utc_now() + jump):
        await gateway.report_with("facts")
        await gateway.report()
        jump = timedelta(hours=3)
        await gateway.report_with("facts")


@pytest.mark.slow
async def test_a_gateway_that_never_answers_does_not_hold_it(gateway: Gateway, tmp_path: Path) -> None:
    """The gateway accepts connections but sends nothing; the next attempt reaches the gateway when it is back."""
    timing = replace(QUICK, connect=1.0)
    async with _reporting(gateway, tmp_path, timing):
        await gateway.report_with("facts")
        port = gateway.port
        await gateway.stop()
        with socket.create_server(("127.0.0.1", port)) as silent:
            silent.setblocking(False)
            async with asyncio.timeout(60):
                hung, _ = await asyncio.get_running_loop().sock_accept(silent)
                again, _ = await asyncio.get_running_loop().sock_accept(silent)
            hung.close()
            again.close()
        while not gateway.reports.empty():
            gateway.reports.get_nowait()
        await gateway.start()
        await gateway.report_with("facts")
