"""The listener of a direct node, over real TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from node_sidecar.http2.exchange import Exchange
from node_sidecar.tunnel.direct import DirectListener
from node_sidecar.tunnel.tls import GATEWAY_NAME
from tests.node_sidecar.support.peer import Peer
from tests.node_sidecar.support.pki import NODE, Authority
from tests.ports import ReservedPort


async def hello(exchange: Exchange) -> None:
    exchange.send_head(200, [])
    await exchange.send(b"hello")
    exchange.end()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def listener(authority: Authority) -> AsyncIterator[DirectListener]:
    context = authority.server(NODE)
    port = ReservedPort()
    listening = DirectListener(("127.0.0.1", port.number), lambda: context, hello)
    await listening.start()
    task = asyncio.create_task(listening.run())
    yield listening
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    port.release()


@asynccontextmanager
async def connected(listener: DirectListener, context: ssl.SSLContext) -> AsyncIterator[Peer]:
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=context, server_hostname=NODE)
    peer = Peer(reader, writer)
    try:
        await peer.start()
        yield peer
    finally:
        await peer.close()


async def test_the_gateway_is_served(listener: DirectListener, authority: Authority) -> None:
    async with connected(listener, authority.client(GATEWAY_NAME)) as peer:
        for _ in range(2):
            assert (await peer.answer(peer.request())).data == b"hello"
        assert listener.connected == 1


@pytest.mark.parametrize("name", [None, NODE, "nd-somebody"])
async def test_others_are_not(listener: DirectListener, authority: Authority, name: str | None) -> None:
    """The callers have no certificate, or one of this gateway's CA that is not the gateway's."""
    with suppress(OSError):
        async with connected(listener, authority.client(name)) as peer:
            answer = await peer.answer(peer.request())
            assert not answer.status
    assert listener.connected == 0


async def test_another_ca_is_not(listener: DirectListener, authority: Authority, tmp_path: Path) -> None:
    context = Authority(tmp_path / "other").client(GATEWAY_NAME)
    context.load_verify_locations(authority.file)
    with suppress(OSError):
        async with connected(listener, context) as peer:
            assert not (await peer.answer(peer.request())).status
    assert listener.connected == 0


async def test_strangers_without_tls_disturb_nobody(listener: DirectListener, authority: Authority) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    async with connected(listener, authority.client(GATEWAY_NAME)) as peer:
        assert (await peer.answer(peer.request())).data == b"hello"
    writer.transport.abort()


async def test_a_renewed_certificate_is_shown_to_the_next_connection(authority: Authority) -> None:
    names = iter([NODE, "nd-renewed"])
    listener = DirectListener(("127.0.0.1", 0), lambda: authority.server(next(names)), hello)
    await listener.start()
    task = asyncio.create_task(listener.run())
    for name in (NODE, "nd-renewed"):
        context = authority.client(GATEWAY_NAME)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", listener.port, ssl=context, server_hostname=name
        )
        peer = Peer(reader, writer)
        await peer.start()
        assert (await peer.answer(peer.request())).ended
        await peer.close()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_drain_and_resume(listener: DirectListener, authority: Authority) -> None:
    context = authority.client(GATEWAY_NAME)
    async with connected(listener, context) as peer:
        assert (await peer.answer(peer.request())).ended
        listener.drain()
        await peer.until(lambda: peer.closed)
        await listener.drained()
    with pytest.raises(OSError, match=r".*"):
        await asyncio.open_connection("127.0.0.1", listener.port, ssl=context, server_hostname=NODE)
    listener.resume()
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        while True:
            with suppress(ConnectionRefusedError):
                async with connected(listener, context) as peer:
                    assert (await peer.answer(peer.request())).ended
                    return
            await asyncio.sleep(0.01)  # nothing to await: nobody listens yet
