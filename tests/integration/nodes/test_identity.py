"""A node's certificate decides who it is, on the tunnel listener and at a direct address."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
import grpc
import pytest
from trunkline_proto.node.v1 import registry_pb2, registry_pb2_grpc

from tests.fakes.certificates import GATEWAY_NAME, CertificateAuthority, NodeTls
from tests.fakes.node import HANDSHAKE, Node, RefusedError
from tests.integration.nodes.edge import WORKERS, Edge, through_tunnel
from tests.waiting import until_answered
from xds_server.model import NodesTarget, ProviderTarget, Route, Timeouts
from xds_server.pool import Pool, PoolEndpoint

pytestmark = pytest.mark.asyncio(loop_scope="module")
NodeId = Callable[[], str]


def direct(model: str, name: str, address: tuple[str, int]) -> Pool:
    return Pool(model, (PoolEndpoint(name, address),))


@pytest.mark.parametrize("claimed", [("node",), ("cluster",), ("tenant",), ("node", "cluster", "tenant")])
async def test_a_node_that_claims_anothers_name_gets_nothing(
    edge: Edge, model: str, node_id: NodeId, claimed: tuple[str, ...]
) -> None:
    victim, liar = node_id(), node_id()
    route = Route(f"rt_{model}", model, (NodesTarget(model), ProviderTarget("a", model, tier=1)))
    await edge.publish(route)
    await edge.fill(through_tunnel(model, victim))
    async with Node(liar, edge.node_tls(liar)) as node:
        await node.open_tunnels(edge.tunnel, 2 * WORKERS, **dict.fromkeys(claimed, victim))
        assert set(await edge.targets("k1", model)) == {f"a/{model}"}
        assert not node.seen
        await edge.fill(through_tunnel(model, liar))
        assert set(await edge.targets("k1", model)) == {f"nodes/{model}"}


async def test_without_a_nodes_certificate_no_tunnel_is_opened(edge: Edge, node_id: NodeId) -> None:
    name = node_id()
    pem = edge.authority.pem
    for tls in (
        NodeTls(pem),
        NodeTls(pem, edge.authority.issue(GATEWAY_NAME)),
        NodeTls(pem, edge.authority.issue()),
        NodeTls(pem, edge.authority.issue(f"{name}.example")),
    ):
        with pytest.raises(RefusedError, match=r"^HTTP/1\.1 403 "):
            await Node(name, tls).open_tunnels(edge.tunnel, 1)
    for identity in (CertificateAuthority().issue(name), edge.authority.issue(name, days=-1)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await Node(name, NodeTls(pem, identity)).open_tunnels(edge.tunnel, 1)


async def test_another_program_of_this_machine_cannot_hand_over_a_tunnel(edge: Edge, node_id: NodeId) -> None:
    name = node_id()
    for secret in ("", "guessed"):
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.ports["handshake"])
        lines = [f"GET {HANDSHAKE} HTTP/1.1", "host: gateway", "connection: upgrade", "upgrade: reverse-tunnel"]
        lines += [f"x-envoy-reverse-tunnel-{part}-id: {name}" for part in ("node", "cluster", "tenant")]
        lines += [f"x-envoy-reverse-tunnel-upstream-cluster-name: {secret}"] if secret else []
        writer.write("\r\n".join([*lines, "", ""]).encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        writer.close()


async def test_the_ca_and_nothing_else_is_for_everybody(edge: Edge) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    origin = f"https://127.0.0.1:{edge.ports['tunnel']}"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{origin}/ca.pem", ssl=context) as answer:
            assert await answer.text() == edge.authority.pem
        for path in (
            "/",
            "/v1/models",
            HANDSHAKE,
            "/trunkline.admin.v1.Admin/GetStatus",
            "/trunkline.node.v1.NodeRegistry/../trunkline.admin.v1.Admin/GetStatus",
            "/trunkline.node.v1.NodeRegistry/Enrol/x",
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
        ):
            async with session.post(f"{origin}{path}", ssl=context) as answer:
                assert answer.status == 404, path


async def test_the_control_plane_learns_who_calls(edge: Edge, node_id: NodeId) -> None:
    forged = (("x-forwarded-client-cert", "DNS=nd-other"), ("x-trunkline-node", "nd-other"))
    async with edge.channel(edge.node_tls(name := node_id())) as channel:
        registry = registry_pb2_grpc.NodeRegistryStub(channel)
        reported = await registry.Enrol(registry_pb2.EnrolRequest(), metadata=forged)
        assert f";DNS={name}" in f";{reported.name}"
        assert "nd-other" not in reported.name
        report: Any = registry.Report  # opened without messages, which are written one by one
        call = report(metadata=forged)
        for sequence in (1, 2):
            await call.write(registry_pb2.NodeReport(sequence=sequence))
            instruction = await call.read()
            assert (instruction.heartbeat_ms, instruction.lease_ms) == (sequence, len(reported.name))
        await call.done_writing()
    async with edge.channel(NodeTls(edge.authority.pem)) as channel:
        registry = registry_pb2_grpc.NodeRegistryStub(channel)
        assert (await registry.Enrol(registry_pb2.EnrolRequest(), metadata=forged)).name == ""
        for refused in (registry.Renew(registry_pb2.RenewRequest()), registry.Leave(registry_pb2.LeaveRequest())):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await refused
            assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert "Join again" in str(error.value.details())


async def test_a_direct_node_is_who_its_certificate_says(edge: Edge, model: str, node_id: NodeId) -> None:
    name, other = node_id(), node_id()
    targets = (NodesTarget(model), ProviderTarget("a", model, tier=1))
    await edge.publish(Route(f"rt_{model}", model, targets, timeouts=Timeouts(connect_ms=60_000)))
    async with Node(name, edge.node_tls(name)) as node:
        await edge.fill(direct(model, name, await node.listen()))
        assert set(await edge.targets("k1", model)) == {f"nodes/{model}"}
        assert node.seen[0].headers["x-trunkline-node"] == name
    impostors = (edge.node_tls(other), NodeTls(edge.authority.pem, CertificateAuthority().issue(name)))
    for tls in impostors:
        async with Node(name, tls) as node:
            await edge.fill(direct(model, name, await node.listen()))
            assert set(await edge.targets("k1", model, 4)) == {f"a/{model}"}
            assert not node.seen


async def test_a_direct_node_sees_the_gateways_certificate(edge: Edge, model: str, node_id: NodeId) -> None:
    """A node that trusts another CA ends the connection."""
    name = node_id()
    await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model), ProviderTarget("a", model, tier=1))))
    tls = NodeTls(CertificateAuthority().pem, edge.authority.issue(name))
    async with Node(name, tls) as node:
        await edge.fill(direct(model, name, await node.listen()))
        assert set(await edge.targets("k1", model, 4)) == {f"a/{model}"}


async def test_a_renewed_certificate_disturbs_no_tunnel(edge: Edge, model: str, node_id: NodeId) -> None:
    await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),)))
    async with Node(name := node_id(), edge.node_tls(name)) as node:
        await node.open_tunnels(edge.tunnel, WORKERS)
        await edge.fill(through_tunnel(model, name))
        before = await edge.certificate()
        edge.builder.renew(edge.issued())
        await edge.fill()

        async def renewed() -> bool:
            return await edge.certificate() != before

        await until_answered(renewed)
        assert set(await edge.targets("k1", model)) == {f"nodes/{model}"}
        assert {each.ended.is_set() for each in node.connections} == {False}
