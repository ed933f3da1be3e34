"""What gRPC adds to the protocol: permission, errors, back-pressure, and the end of streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import grpc.aio
import pytest
from trunkline_proto.xds.v1 import discovery_pb2

from xds_server.clients import ClientRegistry
from xds_server.protocol.snapshot import CLUSTER, LISTENER, POLICY_KEY, POLICY_ROUTE, Resource, ResourceSnapshot
from xds_server.rpc.authorise import bearer_token
from xds_server.transport.ads import MAX_MESSAGE_BYTES, SERVER_OPTIONS, SERVICE, AdsServer

TOKEN = "token-of-control"
METADATA = (("authorization", f"Bearer {TOKEN}"),)
Stream = grpc.aio.StreamStreamCall[discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DeltaDiscoveryResponse]
Open = Callable[..., Stream]


class Running:
    """A server on TCP and on a Unix socket."""

    def __init__(self, path: Path) -> None:
        self.unix = f"unix:{path}"
        self.clients = ClientRegistry()
        self.ads = AdsServer(content(1, b"1"), self.clients, authorise=bearer_token(TOKEN), quiet=0)
        self.server = grpc.aio.server(options=SERVER_OPTIONS)
        self.server.add_generic_rpc_handlers((self.ads.handler(),))
        self.server.add_insecure_port(self.unix)
        self.tcp = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"


def content(revision: int, body: bytes, *types: str) -> ResourceSnapshot:
    return ResourceSnapshot(revision, {each: {"a": Resource.of(each, "a", body)} for each in types or (CLUSTER,)})


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(tmp_path / "xds.sock")
    await running.server.start()
    yield running
    running.ads.close()
    await running.server.stop(0.1)


@pytest.fixture
async def open_stream() -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:
        channels: list[grpc.aio.Channel] = []

        def open_stream(address: str, *, metadata: tuple[tuple[str, str], ...] = ()) -> Stream:
            options = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
            channel = grpc.aio.insecure_channel(address, options=options)
            channels.append(channel)
            stack.push_async_callback(channel.close, None)
            return channel.stream_stream(
                f"/{SERVICE}/DeltaAggregatedResources",
                request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
                response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
            )(None, metadata=metadata)

        yield open_stream


def first(node: str, type_url: str = CLUSTER) -> discovery_pb2.DeltaDiscoveryRequest:
    return discovery_pb2.DeltaDiscoveryRequest(
        type_url=type_url, node=discovery_pb2.Node(id=node, cluster="translator")
    )


def ack(response: discovery_pb2.DeltaDiscoveryResponse) -> discovery_pb2.DeltaDiscoveryRequest:
    return discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)


async def received(call: Stream) -> discovery_pb2.DeltaDiscoveryResponse:
    response = await call.read()
    assert isinstance(response, discovery_pb2.DeltaDiscoveryResponse), "the server ended the stream"
    return response


async def test_tcp_needs_the_token(running: Running, open_stream: Open) -> None:
    call = open_stream(running.tcp)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.read()
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "authorization: Bearer" in (refused.value.details() or "")
    assert running.clients.clients() == ()
    call = open_stream(running.tcp, metadata=METADATA)
    await call.write(first("remote"))
    assert (await received(call)).type_url == CLUSTER


async def test_the_unix_socket_needs_none(running: Running, open_stream: Open) -> None:
    call = open_stream(running.unix)
    await call.write(first("local"))
    assert [each.name for each in (await received(call)).resources] == ["a"]


async def test_a_stream_without_a_node_is_reported_so(running: Running, open_stream: Open) -> None:
    call = open_stream(running.unix)
    await call.write(discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.read()
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "node.id" in (refused.value.details() or "")


@pytest.mark.slow
async def test_a_client_that_does_not_read_delays_no_other(running: Running, open_stream: Open) -> None:
    """16 MB per type exceed what HTTP/2 flow control and the sockets hold without a reader."""
    types = (CLUSTER, LISTENER, POLICY_KEY, POLICY_ROUTE)
    running.ads.publish(content(2, bytes(16_000_000), *types))
    slow = open_stream(running.unix)
    for type_url in types:
        await slow.write(first("slow", type_url))
    quick = open_stream(running.unix)
    await quick.write(first("quick"))
    response = await received(quick)
    while response.system_version_info != "2":
        await quick.write(ack(response))
        response = await received(quick)
    await quick.write(ack(response))
    running.ads.publish(content(3, b"3", *types))
    assert (await received(quick)).resources[0].resource.value == b"3"
    # The slow client gets the missed changes, merged, once it reads.
    seen: dict[str, bytes] = {}
    while set(seen.values()) != {b"3"} or len(seen) < len(types):
        async with asyncio.timeout(60):
            response = await received(slow)
        seen[response.type_url] = response.resources[0].resource.value
        await slow.write(ack(response))


async def test_publications_in_quick_succession_are_one(running: Running, open_stream: Open) -> None:
    call = open_stream(running.unix)
    await call.write(first("local"))
    await call.write(ack(await received(call)))
    for revision in range(2, 10):
        running.ads.publish(content(revision, b"%d" % revision))
    response = await received(call)
    assert (response.system_version_info, response.resources[0].resource.value) == ("9", b"9")
    await call.write(ack(response))
    assert (await running.clients.wait_settled(9, 60)).accepted == 1
    assert running.clients.counters().acks == 2


@pytest.mark.slow
async def test_a_reconnecting_client_may_list_100_000_long_names(running: Running, open_stream: Open) -> None:
    """The list has 13 MB; names in it that do not exist are reported as removed."""
    call = open_stream(running.unix)
    request = first("large")
    request.resource_names_subscribe.append("*")
    for number in range(100_000):
        request.initial_resource_versions[f"{number:0110}"] = "0123456789abcdef"
    await call.write(request)
    names: set[str] = set()
    while len(names) < 100_000:
        async with asyncio.timeout(60):
            response = await received(call)
        names.update(response.removed_resources)
        await call.write(ack(response))


@pytest.mark.slow
async def test_a_message_of_more_than_16_mib_is_refused(running: Running, open_stream: Open) -> None:
    call = open_stream(running.unix)
    request = first("larger")
    request.resource_names_subscribe.append("x" * MAX_MESSAGE_BYTES)
    await call.write(request)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.read()
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
