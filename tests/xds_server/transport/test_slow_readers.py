"""Clients that never read, or guess nonces: their cost, that others do not wait, and that they are reported."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from trunkline_proto.xds.v1 import discovery_pb2

from tests.waiting import until
from tests.xds_server.transport.readers import GUESSES
from tests.xds_server.transport.test_ads import Open, Stream, ack, first, open_stream, received
from xds_server.client_status import ClientStatus
from xds_server.clients import ClientRegistry
from xds_server.protocol.bounds import MAX_UNKNOWN_ANSWERS
from xds_server.protocol.snapshot import CLUSTER, LISTENER, POLICY_KEY, Resource, ResourceSnapshot
from xds_server.transport import ads as module
from xds_server.transport.ads import SERVER_OPTIONS, AdsServer

__all__ = ["open_stream"]

ROOT = Path(__file__).parents[3]
READERS = 200
#: A type's resources, and bytes of each: 5 MB.
COUNT, SIZE = 2_500, 2_000
MIB = 2**20


def content(revision: int, *types: str, count: int = COUNT, size: int = SIZE) -> ResourceSnapshot:
    body = bytes([revision]) * size
    return ResourceSnapshot(
        revision,
        {
            each: {f"{n:06}": Resource.of(each, f"{n:06}", body) for n in range(count)}
            for each in types or (CLUSTER,)
        },
    )


class Running:
    def __init__(self, path: Path, snapshot: ResourceSnapshot, patience: float = 600.0) -> None:
        self.address = f"unix:{path}"
        self.clients = ClientRegistry()
        self.ads = AdsServer(snapshot, self.clients, quiet=0, patience=patience)
        self.server = grpc.aio.server(options=SERVER_OPTIONS)
        self.server.add_generic_rpc_handlers((self.ads.handler(),))
        self.server.add_insecure_port(self.address)

    def client(self, client_id: str) -> ClientStatus:
        unknown = ClientStatus(client_id, "", "", connected=False, since=0.0, types=())
        return next((each for each in self.clients.clients() if each.client_id == client_id), unknown)

    async def until(self, wanted: Callable[[], bool]) -> None:
        await until(wanted)


@asynccontextmanager
async def running(path: Path, snapshot: ResourceSnapshot, patience: float = 600.0) -> AsyncIterator[Running]:
    served = Running(path / "xds.sock", snapshot, patience)
    await served.server.start()
    try:
        yield served
    finally:
        served.ads.close()
        await served.server.stop(0.1)


@asynccontextmanager
async def readers(address: str, mode: str) -> AsyncIterator[None]:
    """Runs the readers, and yields once all of them have guessed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.xds_server.transport.readers", address, str(READERS), mode),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(240):
            assert await process.stdout.readline() == b"guessed\n"
        yield
    finally:
        process.kill()
        await process.wait()


async def whole(call: Stream, request: discovery_pb2.DeltaDiscoveryRequest, revision: int) -> dict[str, bytes]:
    """Reads and answers until all of CLUSTER has arrived at `revision`."""
    held: dict[str, bytes] = {}
    await call.write(request)
    while len(held) < COUNT or set(held.values()) != {bytes([revision]) * SIZE}:
        async with asyncio.timeout(60):
            response = await received(call)
        held.update({each.name: each.resource.value for each in response.resources})
        await call.write(ack(response))
    return held


async def until_ended(call: Stream, *requests: discovery_pb2.DeltaDiscoveryRequest) -> None:
    """Sends `requests` and reads until the server ends the stream, possibly before the last one is written."""
    for each in requests:
        await call.write(each)
    while True:
        await asyncio.wait_for(call.read(), 60)


def anonymous_bytes() -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) * 1024


@pytest.mark.parametrize("mode", ["delta", "sotw"])
async def test_200_clients_that_never_read(tmp_path: Path, open_stream: Open, mode: str) -> None:
    """Three types have 5 MB each. A copy of one type for each client would cost that much, not 2 MiB."""
    types = (CLUSTER, LISTENER, POLICY_KEY)
    async with running(tmp_path, content(1, *types)) as served:
        await whole(open_stream(served.address), first("before"), 1)
        before = anonymous_bytes()
        async with readers(served.address, mode):
            await served.until(lambda: served.clients.counters().connected > READERS)
            for revision in range(2, 6):
                served.ads.publish(content(revision, *types))
                await served.until(lambda now=revision: served.ads.snapshot.revision == now)  # type: ignore[misc]
            told = f"answered {GUESSES} responses that were not sent to it"
            await served.until(lambda: sum(each.problem == told for each in served.clients.clients()) == READERS)
            grown = (anonymous_bytes() - before) / MIB
            print(f"{READERS} {mode} clients that never read: {grown:.0f} MiB")  # noqa: T201  # shown by -rP
            assert grown / READERS < 2
            # A client that reads is served meanwhile.
            held = await whole(open_stream(served.address), first("after"), 5)
            assert len(held) == COUNT
        await served.until(lambda: served.clients.counters().connected <= 2)


@pytest.mark.slow
async def test_a_client_that_does_not_read_is_given_up_and_shown(tmp_path: Path, open_stream: Open) -> None:
    one = content(1, CLUSTER, count=1, size=16_000_000)
    async with running(tmp_path, one, patience=0.3) as served:
        slow, quick = open_stream(served.address), open_stream(served.address)
        await slow.write(first("slow"))
        await served.until(lambda: bool(served.client("slow").problem))
        assert not served.client("slow").connected
        assert served.client("slow").problem.startswith("did not read a response of 16,000,")
        assert "(Cluster) within 5 s" in served.client("slow").problem
        # Others no longer wait for the slow client's response, and it learns why once it reads. They have all the
        # time that a busy machine takes.
        served.ads._patience = 600.0
        await quick.write(first("quick"))
        response = await asyncio.wait_for(received(quick), 60)
        assert len(response.resources) == 1
        await quick.write(ack(response))
        assert (await served.clients.wait_settled(1, 60)).accepted == 1
        assert len((await asyncio.wait_for(received(slow), 60)).resources) == 1
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await asyncio.wait_for(slow.read(), 60)
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        again = open_stream(served.address)
        await again.write(first("slow"))
        await again.write(ack(await received(again)))
        await served.until(lambda: served.client("slow").problem == "")


async def test_a_client_that_guesses_too_often_is_cut_off(tmp_path: Path, open_stream: Open) -> None:
    async with running(tmp_path, content(1)) as served:
        guesses = [
            discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=f"{number}-00")
            for number in range(MAX_UNKNOWN_ANSWERS + 1)
        ]
        with pytest.raises(grpc.aio.AioRpcError, match="never sent on this stream") as ended:
            await until_ended(open_stream(served.address), first("guesses"), *guesses)
        assert ended.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        await served.until(lambda: len(served.clients.refused_peers()) == 1)
        (refused,) = served.clients.refused_peers()
        assert (refused.peer, refused.count) == ("unix", 1)


async def test_streams_are_counted(tmp_path: Path, open_stream: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path, content(1, count=1)) as served:
        for _ in range(module.MAX_CLIENT_STREAMS):
            call = open_stream(served.address)
            await call.write(first("same"))
            await call.write(ack(await received(call)))
        with pytest.raises(grpc.aio.AioRpcError, match="same has 16 streams open") as refused:
            await until_ended(open_stream(served.address), first("same"))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        monkeypatch.setattr(module, "MAX_PEER_STREAMS", module.MAX_CLIENT_STREAMS)
        with pytest.raises(grpc.aio.AioRpcError, match="too many ADS streams") as refused:
            # Without a message: if one is sent while the refusal arrives, gRPC reports INTERNAL instead.
            await until_ended(open_stream(served.address))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await call.write(ack(discovery_pb2.DeltaDiscoveryResponse(type_url=CLUSTER)))
        assert served.clients.counters().connected == module.MAX_CLIENT_STREAMS
