"""Sessions over real sockets, with the test's own handlers and an h2 client as the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from h2.errors import ErrorCodes

from node_sidecar.errors import StreamClosedError
from node_sidecar.http2.exchange import Exchange
from node_sidecar.http2.limits import DEFAULT, Http2Limits
from node_sidecar.http2.session import Http2Session
from tests.node_sidecar.support.node import HASTY, PATIENT
from tests.node_sidecar.support.peer import Peer
from tests.waiting import until

Handler = Callable[[Exchange], Awaitable[None]]


@asynccontextmanager
async def connected(
    handler: Handler,
    *,
    limits: Http2Limits = DEFAULT,
    window: int = 65_535,
    acknowledges: bool = True,
    reads: bool = True,
) -> AsyncIterator[tuple[Peer, Http2Session]]:
    """Connects without TLS, which the tunnels' tests cover."""
    sessions: asyncio.Queue[Http2Session] = asyncio.Queue()

    def session() -> Http2Session:
        made = Http2Session(handler, limits)
        sessions.put_nowait(made)
        return made

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        peer = Peer(reader, writer, window=window, acknowledges=acknowledges)
        await peer.start(reads=reads)
        session_made = await sessions.get()
        try:
            yield peer, session_made
        finally:
            await peer.close()
            await session_made.closed


async def echo(exchange: Exchange) -> None:
    exchange.send_head(200, [])
    while data := await exchange.read():
        await exchange.send(data)
    exchange.end()


async def hang(_: Exchange) -> None:
    await asyncio.Event().wait()


async def test_a_body_larger_than_every_window_comes_back_whole() -> None:
    body = bytes(range(256)) * 40_000
    async with connected(echo, limits=replace(DEFAULT, stream_window=65_535)) as (peer, _):
        stream_id = peer.request(body=b"", ends=False)
        sent = 0
        while sent < len(body):
            room = min(peer.h2.local_flow_control_window(stream_id), 16_384, len(body) - sent)
            if room == 0:
                await peer.until(lambda: peer.h2.local_flow_control_window(stream_id) > 0)
                continue
            peer.h2.send_data(stream_id, body[sent : sent + room])
            peer.flush()
            sent += room
        peer.h2.end_stream(stream_id)
        peer.flush()
        answer = await peer.answer(stream_id)
        assert answer.ended
        assert bytes(answer.data) == body


async def test_a_stream_that_is_reset_cancels_its_handler_and_no_other() -> None:
    cancelled = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        if exchange.head.path == b"/hang":
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        await echo(exchange)

    async with connected(handler) as (peer, session):
        hanging = peer.request("/hang")
        other = peer.request(body=b"a", ends=False)
        await peer.until(lambda: peer.answers[other].data == b"a")
        peer.reset(hanging)
        await cancelled.wait()
        peer.h2.send_data(other, b"b", end_stream=True)
        peer.flush()
        assert (await peer.answer(other)).data == b"ab"
        assert session.running == 0


async def test_a_stream_that_is_reset_before_its_handler_began_leaves_nothing() -> None:
    async with connected(hang) as (peer, session):
        for _ in range(100):
            peer.h2.reset_stream(peer.request(), ErrorCodes.CANCEL)
        peer.flush()
        done = peer.request("/done")
        await until(lambda: session.running == 1)
        peer.reset(done)
        while session.running:
            await asyncio.sleep(0)


async def test_a_handler_that_gives_up_leaves_a_broken_stream_not_a_short_one() -> None:
    async def handler(exchange: Exchange) -> None:
        if exchange.head.path == b"/silent":
            return
        exchange.send_head(200, [])
        await exchange.send(b"half")
        if exchange.head.path == b"/raises":
            raise RuntimeError("a fault of the handler")

    async with connected(handler) as (peer, _):
        for path in ("/silent", "/raises", "/returns"):
            answer = await peer.answer(peer.request(path))
            assert (answer.ended, answer.reset) == (False, ErrorCodes.INTERNAL_ERROR), path


async def test_an_answer_before_the_end_of_the_request_stands() -> None:
    async def handler(exchange: Exchange) -> None:
        exchange.send_head(413, [])
        exchange.end()

    async with connected(handler, limits=replace(DEFAULT, connection_window=65_536)) as (peer, _):
        for _ in range(20):  # data that nobody reads is returned to the connection's window
            stream_id = peer.request(body=b"", ends=False)
            await peer.until(lambda: peer.h2.outbound_flow_control_window > 30_000)
            peer.h2.send_data(stream_id, bytes(15_000))
            peer.h2.send_data(stream_id, bytes(15_000))
            peer.flush()
            answer = peer.answers[stream_id]
            await peer.until(partial(_was_reset, answer))
            assert (answer.status, answer.ended) == (413, True)


async def test_a_reader_that_takes_nothing_holds_its_own_stream_only() -> None:
    sent = 0

    async def handler(exchange: Exchange) -> None:
        nonlocal sent
        exchange.send_head(200, [])
        if exchange.head.path == b"/small":
            await exchange.send(b"x")
            exchange.end()
            return
        while True:
            await exchange.send(bytes(10_000))
            sent += 10_000

    async with connected(handler, window=40_000, acknowledges=False) as (peer, _):
        stuck = peer.request("/large")
        await peer.until(lambda: len(peer.answers[stuck].data) == 40_000)
        assert sent == 40_000
        assert (await peer.answer(peer.request("/small"))).data == b"x"
        assert sent == 40_000
        peer.acknowledge(stuck, 25_000)
        await peer.until(lambda: len(peer.answers[stuck].data) == 65_000)
        assert sent == 60_000


async def test_streams_share_a_short_connection_window() -> None:
    """No stream starves: with room for one piece at a time, all get about as much."""

    async def handler(exchange: Exchange) -> None:
        exchange.send_head(200, [])
        while True:
            await exchange.send(bytes(65_535))

    async with connected(handler) as (peer, _):
        streams = [peer.request() for _ in range(4)]
        await peer.until(lambda: sum(len(peer.answers[one].data) for one in streams) > 8_000_000)
        received = [len(peer.answers[one].data) for one in streams]
        assert min(received) > max(received) / 3, received


@pytest.mark.slow
async def test_a_peer_that_reads_nothing_does_not_grow_memory() -> None:
    sent = 0

    async def handler(exchange: Exchange) -> None:
        nonlocal sent
        exchange.send_head(200, [])
        while True:
            await exchange.send(bytes(65_536))
            sent += 65_536

    async with connected(handler, limits=PATIENT, window=1 << 30, reads=False) as (peer, session):
        for _ in range(20):
            peer.request()
        await until(lambda: session.running == 20)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)  # until nothing more is sent, which nothing announces
        assert session.running == 20
        assert session.buffered < 2 << 20
        peer.read()
        await peer.until(lambda: sum(len(answer.data) for answer in peer.answers.values()) > before)


@pytest.mark.slow
async def test_a_silent_peer_is_pinged_and_then_given_up() -> None:
    ended = asyncio.Event()

    async def handler(_: Exchange) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with connected(handler, limits=HASTY, reads=False) as (peer, session):
        peer.request()
        await ended.wait()
        await session.closed
        assert session.leaving.done()


@pytest.mark.slow
async def test_a_peer_that_answers_pings_stays() -> None:
    async with connected(hang, limits=PATIENT) as (peer, session):
        peer.request()
        await until(lambda: session.running == 1)
        before = session._last_heard
        await peer.until(lambda: peer.pings >= 8)
        assert session._last_heard > before, "the answers count"
        assert not session.leaving.done()


async def test_drain_finishes_what_runs_and_then_closes() -> None:
    go = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        exchange.send_head(200, [])
        await go.wait()
        await exchange.send(bytes(200_000))
        exchange.end()

    async with connected(handler) as (peer, session):
        running = [peer.request() for _ in range(3)]
        await peer.until(lambda: all(peer.answers[one].status for one in running))
        session.drain()
        await peer.until(lambda: peer.goaway)
        go.set()
        for one in running:
            answer = await peer.answer(one)
            assert (answer.ended, len(answer.data)) == (True, 200_000)
        await peer.until(lambda: peer.closed)


async def test_drain_without_work_closes_at_once() -> None:
    async with connected(hang) as (peer, session):
        session.drain()
        await peer.until(lambda: peer.closed)
        assert peer.goaway is not None


async def test_the_peers_goaway_lets_what_runs_finish() -> None:
    async with connected(echo) as (peer, session):
        stream_id = peer.request(body=b"a", ends=False)
        await peer.until(lambda: peer.answers[stream_id].data)
        # Equals what h2 would write, but h2 would send nothing afterwards.
        peer._writer.write(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8))
        await session.leaving
        peer.h2.send_data(stream_id, b"b", end_stream=True)
        peer.flush()
        assert (await peer.answer(stream_id)).data == b"ab"
        await peer.until(lambda: peer.closed)


async def test_a_broken_protocol_ends_the_connection_and_its_handlers() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def handler(_: Exchange) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with connected(handler) as (peer, _):
        peer.request()
        await began.wait()
        peer._writer.write(b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x")  # DATA of no stream
        await ended.wait()
        await peer.until(lambda: peer.closed)


async def test_a_lost_connection_ends_further_sending() -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(exchange: Exchange) -> None:
        exchange.send_head(200, [])
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                await exchange.send(b"late")
            except StreamClosedError as error:
                outcome.set_result(str(error))
            raise

    async with connected(handler) as (peer, _):
        stream_id = peer.request()
        await peer.until(lambda: peer.answers[stream_id].status)
        await peer.close()
        assert "took this request back" in await outcome


def _was_reset(answer: Any) -> bool:
    return bool(answer.reset == ErrorCodes.NO_ERROR)
