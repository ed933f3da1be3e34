"""NodeRegistry over real gRPC: who may call, the answers to a bad sidecar, and that it disturbs nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from trunkline_proto.node.v1 import registry_pb2 as pb

from tests.xds_server.nodes.reporting import first, heartbeat, node, node_id, offer
from tests.xds_server.nodes.serving import (
    CSR,
    OTHER_CSR,
    Serving,
    certificate,
    first_instruction,
    serving,
    status,
)

Code = grpc.StatusCode
ME = node_id(0)


class NoTables:
    """Stands in for the tables; these tests store nothing."""

    async def write(self, work: Any) -> Any:
        return []


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path, NoTables()) as served:
        yield served


def enrol(token: str, **values: Any) -> pb.EnrolRequest:
    return pb.EnrolRequest(
        **{"join_token": token, "csr_pem": CSR, "proposed_name": "rig", "protocol": 1, **values}
    )


async def connected(gateway: Serving, stub: Any, number: int = 0, report: pb.NodeReport | None = None) -> Any:
    """Returns the stream of a node whose report was accepted."""
    call = stub.Report(metadata=certificate(node_id(number)))
    await call.write(report or first())
    await first_instruction(call)
    await gateway.desired.until(lambda: gateway.registry.live.has_lease(node_id(number)))
    return call


async def test_join_report_renew_leave(gateway: Serving) -> None:
    gateway.desired.tokens = {"tlj_1"}
    async with gateway.stub() as stub:
        joined = await stub.Enrol(enrol("tlj_1"))
        assert joined.ca_pem == b"the CA"
        assert joined.certificate_chain_pem == f"certificate of {joined.node_id}".encode()
        assert (joined.pending_approval, joined.tunnel_address) == (False, "")
        me = certificate(joined.node_id)
        call = stub.Report(metadata=me)
        assert await first_instruction(call) == pb.NodeInstruction(heartbeat_ms=2_000, lease_ms=6_000, tunnels=4)
        await call.write(first())
        await gateway.desired.until(lambda: gateway.desired.health(joined.node_id) == "healthy")
        renewed = await stub.Renew(pb.RenewRequest(csr_pem=CSR), metadata=me)
        assert renewed.certificate_chain_pem == joined.certificate_chain_pem
        await stub.Leave(pb.LeaveRequest(), metadata=me)
        assert await status(call) == (
            Code.NOT_FOUND,
            f'no node "{joined.node_id}": it was removed; join again with a new token',
        )
        assert gateway.desired.health(joined.node_id) is None
        for again in (
            stub.Renew(pb.RenewRequest(csr_pem=CSR), metadata=me),
            stub.Leave(pb.LeaveRequest(), metadata=me),
            stub.Report(metadata=me),
        ):
            code, details = await status(again)
            assert (code, "join again" in details) == (Code.NOT_FOUND, True)


async def test_a_token_is_good_once(gateway: Serving) -> None:
    gateway.desired.tokens = {"tlj_1"}
    async with gateway.stub() as stub:
        assert (await status(stub.Enrol(enrol("tlj_1", csr_pem=b"?"))))[0] is Code.INVALID_ARGUMENT
        joined = await stub.Enrol(enrol("tlj_1"))
        assert (await status(stub.Enrol(enrol("tlj_1", csr_pem=OTHER_CSR))))[0] is Code.UNAUTHENTICATED
        assert await stub.Enrol(enrol("tlj_1")) == joined


async def test_asking_again_is_bounded_as_guesses_are(gateway: Serving) -> None:
    gateway.desired.tokens = {"tlj_1"}
    async with gateway.stub() as stub:
        codes = [(await status(stub.Enrol(enrol("tlj_1"))))[0] for _ in range(60)]
    assert codes == [Code.OK] * 51 + [Code.RESOURCE_EXHAUSTED] * 9


@pytest.mark.parametrize(
    ("request_", "code", "details"),
    [
        (enrol("tlj_stolen"), Code.UNAUTHENTICATED, "this join token is unknown, used or expired"),
        (enrol("sk-tl-1-2"), Code.UNAUTHENTICATED, "this is not a join token"),
        (enrol("tlj_" + "x" * 600), Code.UNAUTHENTICATED, "this is not a join token"),
        (enrol(""), Code.UNAUTHENTICATED, "this is not a join token"),
        (enrol("tlj_1", protocol=0), Code.FAILED_PRECONDITION, "update trunkline-node"),
        (enrol("tlj_1", protocol=2), Code.FAILED_PRECONDITION, "update the gateway"),
        (enrol("tlj_1", csr_pem=b""), Code.INVALID_ARGUMENT, "csr_pem: missing"),
        (enrol("tlj_1", csr_pem=b"x" * 16_385), Code.INVALID_ARGUMENT, "csr_pem: 16,385 bytes; accepted: at most"),
        (enrol("tlj_1", csr_pem=b"x" * 2_000_000), Code.INVALID_ARGUMENT, "message: 2,0"),
        (enrol("tlj_1", proposed_name="n" * 300), Code.INVALID_ARGUMENT, "proposed_name: 300 bytes"),
        (enrol("tlj_1", sidecar_version="\n"), Code.INVALID_ARGUMENT, "sidecar_version: "),
    ],
)
async def test_who_does_not_join(gateway: Serving, request_: pb.EnrolRequest, code: Code, details: str) -> None:
    gateway.desired.tokens = {"tlj_1"}
    async with gateway.stub() as stub:
        answered = await status(stub.Enrol(request_))
    assert answered[0] is code
    assert details in answered[1]
    assert gateway.desired.tokens == {"tlj_1"}


async def test_guesses_are_bounded_and_nodes_are_not_disturbed(
    gateway: Serving, capfd: pytest.CaptureFixture[str]
) -> None:
    await gateway.desired.publish(node())
    gateway.desired.tokens = {"tlj_1"}
    async with gateway.stub() as stub:
        call = await connected(gateway, stub)
        codes = [(await status(stub.Enrol(enrol(f"tlj_guess-{number}"))))[0] for number in range(200)]
        assert codes == [Code.UNAUTHENTICATED] * 50 + [Code.RESOURCE_EXHAUSTED] * 150
        assert gateway.desired.writes == 50
        code, details = await status(stub.Enrol(enrol("tlj_1")))
        assert (code, details) == (Code.RESOURCE_EXHAUSTED, "too many nodes try to join; try again in 2 seconds")
        await call.write(heartbeat(draining=True))
        await gateway.desired.until(lambda: gateway.desired.health(ME) == "draining")
        gateway.clock.move(1.0)
        assert (await status(stub.Enrol(enrol("tlj_1"))))[0] is Code.OK
    assert "guess" not in "".join(capfd.readouterr())


async def test_only_envoy_is_believed(gateway: Serving) -> None:
    await gateway.desired.publish(node())
    gateway.desired.tokens = {"tlj_1"}
    async with gateway.stub(gateway.tcp) as stub:
        for call in (
            stub.Enrol(enrol("tlj_1")),
            stub.Renew(pb.RenewRequest(csr_pem=CSR), metadata=certificate(ME)),
            stub.Leave(pb.LeaveRequest(), metadata=certificate(ME)),
            stub.Report(metadata=certificate(ME)),
        ):
            code, details = await status(call)
            assert (code, "tunnel listener" in details) == (Code.UNAUTHENTICATED, True)
    async with gateway.stub() as stub:
        for metadata in ((), certificate(ME) * 2, certificate("gateway.trunkline.internal")):
            assert (await status(stub.Report(metadata=metadata)))[0] is Code.UNAUTHENTICATED
            call = stub.Renew(pb.RenewRequest(csr_pem=CSR), metadata=metadata)
            assert (await status(call))[0] is Code.UNAUTHENTICATED
    assert ME in gateway.desired.state.nodes


async def test_a_node_of_another_replica_is_found_in_the_store(gateway: Serving) -> None:
    gateway.desired.put(node())
    async with gateway.stub() as stub:
        await connected(gateway, stub)
        await gateway.desired.until(lambda: gateway.desired.health(ME) == "healthy")


async def test_an_older_state_that_comes_late_ends_no_stream(gateway: Serving) -> None:
    before = gateway.desired.state
    gateway.desired.put(node())
    async with gateway.stub() as stub:
        call = await connected(gateway, stub)
        gateway.registry.desired(before)
        gateway.registry.desired(gateway.desired.state)
        await call.write(heartbeat(draining=True))
        await gateway.desired.until(lambda: gateway.desired.health(ME) == "draining")


async def test_instructions_follow_what_operators_decide(gateway: Serving) -> None:
    me = node(approved=False)
    await gateway.desired.publish(me)
    async with gateway.stub() as stub:
        call = stub.Report(metadata=certificate(ME))
        assert (await first_instruction(call)).pending_approval
        await gateway.desired.publish(replace(me, approved=True))
        assert not (await first_instruction(call)).pending_approval
        await gateway.desired.publish(replace(me, approved=True, boost=200))
        await gateway.desired.publish(replace(me, approved=True, drained=True))
        assert (await first_instruction(call)).drain


async def test_the_newest_stream_of_a_node_wins(gateway: Serving) -> None:
    await gateway.desired.publish(node())
    async with gateway.stub() as one, gateway.stub() as other:
        older = await connected(gateway, one)
        newer = other.Report(metadata=certificate(ME))
        assert await status(older) == (Code.ABORTED, "a newer stream of this node took over")
        await newer.write(first(draining=True))
        await gateway.desired.until(lambda: gateway.desired.health(ME) == "draining")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reports", "code", "details"),
    [
        ([heartbeat(1)], Code.INVALID_ARGUMENT, "facts: missing in the stream's first report"),
        ([first(), heartbeat(3)], Code.INVALID_ARGUMENT, "sequence: 3 after 1; accepted: 2"),
        ([first(*(offer(f"m{n}") for n in range(20_000)))], Code.INVALID_ARGUMENT, "offers: 20,000; accepted: at"),
        ([first(*[offer("model")] * 1_000_000)], Code.INVALID_ARGUMENT, "message: 11,0"),
        ([first(offer("n" * 100_000_000))], Code.RESOURCE_EXHAUSTED, "larger than max"),
        ([first(facts=pb.NodeFacts(protocol=0))], Code.FAILED_PRECONDITION, "update trunkline-node"),
    ],
)
async def test_a_bad_sidecar_is_reported_and_disturbs_nobody(
    gateway: Serving, reports: list[pb.NodeReport], code: Code, details: str
) -> None:
    await gateway.desired.publish(node(0), node(1))
    async with gateway.stub() as stub, gateway.stub() as others:
        good = await connected(gateway, others, 1)
        bad = stub.Report(metadata=certificate(ME))
        try:
            for report in reports:
                await bad.write(report)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the status says it
        answered = await status(bad)
        assert answered[0] is code
        assert details in answered[1]
        await good.write(heartbeat(draining=True))
        await gateway.desired.until(lambda: gateway.desired.health(node_id(1)) == "draining")


async def test_bytes_that_are_no_message(gateway: Serving) -> None:
    await gateway.desired.publish(node())
    async with grpc.aio.insecure_channel(gateway.unix) as channel:
        call = channel.stream_stream("/trunkline.node.v1.NodeRegistry/Report", None, None)(
            None, metadata=certificate(ME)
        )
        await call.write(b"\xff\xff\xff\xff")
        assert await status(call) == (Code.INVALID_ARGUMENT, "message: these bytes are not a NodeReport")
    assert len(gateway.registry._streams) == 0


async def test_a_silent_stream_loses_its_lease_and_is_ended(gateway: Serving) -> None:
    await gateway.desired.publish(node())
    async with gateway.stub() as stub:
        call = await connected(gateway, stub)
        await gateway.desired.until(lambda: gateway.desired.health(ME) == "healthy")
        for _ in range(6):
            gateway.registry.look(gateway.clock.move(1.0))
        await gateway.desired.until(lambda: gateway.desired.health(ME) == "unhealthy")
        for _ in range(62):
            gateway.registry.look(gateway.clock.move(1.0))
        code, details = await status(call)
        assert (code, details) == (Code.DEADLINE_EXCEEDED, "no report for 60 seconds; connect again")


@pytest.mark.slow
async def test_who_sends_too_fast_is_read_slowly(gateway: Serving) -> None:
    await gateway.desired.publish(node())
    stream = gateway.registry.open(node(), 1)
    await gateway.registry.report(stream, first())
    began = asyncio.get_running_loop().time()
    for sequence in range(2, 25):
        await gateway.registry.report(stream, heartbeat(sequence))
        gateway.clock.move(0.001)
    assert 0.5 < asyncio.get_running_loop().time() - began < 30


@pytest.mark.slow
async def test_a_client_that_never_reads_holds_nothing_up(gateway: Serving) -> None:
    me = node()
    await gateway.desired.publish(me)
    async with gateway.stub() as stub, gateway.stub() as other:
        deaf = stub.Report(metadata=certificate(ME))
        await deaf.write(first())
        await gateway.desired.until(lambda: gateway.desired.health(ME) == "healthy")
        for number in range(5_000):
            await gateway.desired.publish(replace(me, drained=bool(number % 2)))
            await asyncio.sleep(0)
        newer = await connected(gateway, other)
        await newer.write(heartbeat(draining=True))
        await gateway.desired.until(lambda: gateway.desired.health(ME) == "draining")
        assert len(gateway.registry._streams) == 1
