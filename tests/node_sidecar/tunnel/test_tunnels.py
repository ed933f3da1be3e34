"""Tunnels against a gateway simulated with TLS sockets and h2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from node_sidecar.http2.exchange import Exchange
from node_sidecar.tunnel.tls import GATEWAY_NAME
from node_sidecar.tunnel.tunnels import Tunnels
from tests.node_sidecar.support.gateway import Gateway
from tests.node_sidecar.support.node import HASTY
from tests.node_sidecar.support.pki import NODE, Authority
from tests.waiting import until


async def hello(exchange: Exchange) -> None:
    exchange.send_head(200, [])
    await exchange.send(b"hello")
    exchange.end()


@asynccontextmanager
async def running(tunnels: Tunnels) -> AsyncIterator[None]:
    task = asyncio.create_task(tunnels.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def gateway(authority: Authority) -> AsyncIterator[Gateway]:
    async with Gateway(authority.server()) as running_gateway:
        yield running_gateway


def tunnels_to(gateway: Gateway, authority: Authority, count: int = 1, **more: object) -> Tunnels:
    """Returns tunnels that stay open without pings, unless `more` has an idle timeout."""
    context = authority.client(NODE)
    more = {"idle_timeout": 600.0, **more}
    return Tunnels(gateway.address, lambda: context, hello, node_id=NODE, count=count, **more)  # type: ignore[arg-type]


async def test_pings_are_echoed_until_the_first_request(gateway: Gateway, authority: Authority) -> None:
    async with running(tunnels_to(gateway, authority)):
        tunnel = await gateway.tunnel()
        assert b"x-envoy-reverse-tunnel-node-id: " + NODE.encode() in tunnel.request
        assert await tunnel.ping() == b"RPING"
        assert await tunnel.ping() == b"RPING"
        peer = await tunnel.use()
        for _ in range(2):
            answer = await peer.answer(peer.request())
            assert (answer.status, bytes(answer.data), answer.ended) == (200, b"hello", True)
        await peer.close()


async def test_the_first_request_may_come_without_any_ping(gateway: Gateway, authority: Authority) -> None:
    async with running(tunnels_to(gateway, authority)):
        peer = await (await gateway.tunnel()).use()
        assert (await peer.answer(peer.request())).ended
        await peer.close()


async def test_the_count_can_change(gateway: Gateway, authority: Authority) -> None:
    tunnels = tunnels_to(gateway, authority, count=2)
    async with running(tunnels):
        await until(lambda: tunnels.connected == 2)
        tunnels.set_count(4)
        await until(lambda: tunnels.connected == 4)
        tunnels.set_count(1)
        await until(lambda: tunnels.connected == 1)
        assert gateway.attempts == 4


async def test_it_is_ready_from_when_all_are_open_until_none_is(gateway: Gateway, authority: Authority) -> None:
    tunnels = tunnels_to(gateway, authority, count=3)
    reported: list[bool] = []
    tunnels.on_ready = lambda: reported.append(tunnels.ready)
    async with running(tunnels):
        await until(lambda: tunnels.connected == 3)
        assert reported == [True]
        tunnels.set_count(4)
        assert reported == [True, False]
        await until(lambda: tunnels.connected == 4)
        assert reported == [True, False, True]
        gateway.stop()
        await until(lambda: reported == [True, False, True, False])
        assert tunnels.connected == 0


async def test_fewer_tunnels_than_wanted_do_after_a_while(
    gateway: Gateway, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node_sidecar.tunnel.tunnels._PATIENCE", 0.1)
    tunnels = tunnels_to(gateway, authority, count=1)
    async with running(tunnels):
        await until(lambda: tunnels.ready)
        gateway.status = "503 Service Unavailable"
        tunnels.set_count(2)
        assert not tunnels.ready
        await until(lambda: tunnels.ready)
        assert tunnels.connected == 1


@pytest.mark.slow
async def test_a_gateway_that_comes_back_has_its_tunnels_again(gateway: Gateway, authority: Authority) -> None:
    tunnels = tunnels_to(gateway, authority, count=3)
    async with running(tunnels):
        for _ in range(3):
            await until(lambda: tunnels.connected == 3)
            gateway.stop()
            await until(lambda: tunnels.connected == 0 and "connection refused" in tunnels.failure)
            await gateway.start()
            async with asyncio.timeout(60):
                await until(lambda: tunnels.connected == 3)
        assert tunnels.failure == ""


@pytest.mark.slow
async def test_a_gateway_that_ends_tunnels_at_once_is_not_hammered(gateway: Gateway, authority: Authority) -> None:
    async with running(tunnels_to(gateway, authority)):
        for _ in range(3):
            (await gateway.tunnel()).abort()
        before = gateway.attempts
        await asyncio.sleep(0.3)  # a tunnel opened without the delay would be counted by then
        assert gateway.attempts - before <= 1


async def test_an_idle_tunnel_without_pings_is_replaced(gateway: Gateway, authority: Authority) -> None:
    async with running(tunnels_to(gateway, authority, idle_timeout=0.1)):
        await gateway.tunnel()
        await gateway.tunnel()


async def test_each_ping_gives_an_idle_tunnel_its_time_anew(gateway: Gateway, authority: Authority) -> None:
    tunnels = tunnels_to(gateway, authority)
    async with running(tunnels):
        tunnel = await gateway.tunnel()
        await until(lambda: tunnels.connected == 1)
        (connection,) = tunnels._connections
        for _ in range(2):
            assert connection._silence is not None
            before = connection._silence.when()
            await tunnel.ping()
            assert connection._silence.when() > before


@pytest.mark.slow
async def test_a_used_tunnel_whose_gateway_is_frozen_is_replaced(gateway: Gateway, authority: Authority) -> None:
    async with running(tunnels_to(gateway, authority, limits=HASTY)):
        peer = await (await gateway.tunnel()).use(reads=False)
        peer.request()
        await gateway.tunnel()
        await peer.close()


@pytest.mark.parametrize(
    ("status", "message"),
    [("403 Forbidden", "does not accept this node's certificate"), ("503 Service Unavailable", "not ready yet")],
)
async def test_a_refusal_is_reported_and_tried_again(
    gateway: Gateway, authority: Authority, status: str, message: str
) -> None:
    gateway.status = status
    tunnels = tunnels_to(gateway, authority)
    async with running(tunnels):
        await until(lambda: message in tunnels.failure)
        gateway.status = "101 Switching Protocols"
        await gateway.tunnel()
        await until(lambda: tunnels.failure == "")


async def test_the_certificate_is_read_at_every_connect(gateway: Gateway, authority: Authority) -> None:
    names = iter([NODE, "nd-renewed"])
    tunnels = Tunnels(gateway.address, lambda: authority.client(next(names)), hello, node_id=NODE)
    async with running(tunnels):
        for name in (NODE, "nd-renewed"):
            tunnel = await gateway.tunnel()
            certificate = tunnel.writer.get_extra_info("peercert")
            assert certificate["subjectAltName"] == (("DNS", name),)
            if name == NODE:
                tunnel.abort()


async def test_a_gateway_of_another_ca_gets_nothing(tmp_path: Path, authority: Authority) -> None:
    async with Gateway(Authority(tmp_path / "other").server()) as stranger:
        tunnels = tunnels_to(stranger, authority)
        async with running(tunnels):
            await until(lambda: "not the gateway that this node joined" in tunnels.failure)
            assert stranger.attempts == 0


async def test_another_node_cannot_play_the_gateway(authority: Authority) -> None:
    async with Gateway(authority.server("nd-somebody")) as stranger:
        tunnels = tunnels_to(stranger, authority)
        async with running(tunnels):
            await until(lambda: GATEWAY_NAME in tunnels.failure)
            assert stranger.attempts == 0


async def test_certificate_files_that_cannot_be_read_are_tried_again(
    gateway: Gateway, authority: Authority
) -> None:
    good = authority.client(NODE)
    broken = True

    def make() -> object:
        if broken:
            raise FileNotFoundError(2, "No such file or directory", "node.pem")
        return good

    tunnels = Tunnels(gateway.address, make, hello, node_id=NODE)  # type: ignore[arg-type]
    async with running(tunnels):
        await until(lambda: "node.pem" in tunnels.failure)
        broken = False
        await gateway.tunnel()


async def test_drain_closes_idle_tunnels_and_resume_opens_them(gateway: Gateway, authority: Authority) -> None:
    tunnels = tunnels_to(gateway, authority, count=3)
    async with running(tunnels):
        await until(lambda: tunnels.connected == 3)
        tunnels.drain()
        await tunnels.drained()
        assert (tunnels.connected, gateway.attempts) == (0, 3)
        tunnels.resume()
        await until(lambda: tunnels.connected == 3)


async def test_drain_while_the_gateway_is_away_ends_the_attempts(gateway: Gateway, authority: Authority) -> None:
    gateway.stop()
    tunnels = tunnels_to(gateway, authority)
    async with running(tunnels):
        await until(lambda: tunnels.failure)
        tunnels.drain()
        await tunnels.drained()


async def test_a_gateway_that_says_goaway_is_given_a_new_tunnel_while_the_old_one_finishes(
    gateway: Gateway, authority: Authority
) -> None:
    go = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await go.wait()
        await hello(exchange)

    context = authority.client(NODE)
    tunnels = Tunnels(gateway.address, lambda: context, handler, node_id=NODE)
    async with running(tunnels):
        old = await gateway.tunnel()
        peer = await old.use()
        stream_id = peer.request()
        await peer.until(lambda: peer.h2.remote_settings.max_concurrent_streams == 1024)
        old.writer.write(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8))
        await gateway.tunnel()
        go.set()
        assert (await peer.answer(stream_id)).data == b"hello"
        await peer.close()
