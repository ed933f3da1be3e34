"""The server on a real Unix socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.waiting import until
from translator.errors import MalformedFrameError
from translator.http.server import Server
from translator.message import Request, Response

UPGRADE = b"GET /up HTTP/1.1\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\n"


#: The sessions whose connections are gone.
CLOSED: list[Shouting] = []


class Shouting:
    """A protocol to upgrade to. `?` is malformed, and `~` is answered later. `GREETING` is written first."""

    GREETING = b""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        write(self.GREETING)

    def receive(self, data: bytes) -> bytes:
        if b"?" in data:
            raise MalformedFrameError("it asks")
        if b"~" in data:
            asyncio.get_running_loop().call_later(0.01, self._write, b"LATER")
            return b""
        return data.upper()

    def close(self) -> None:
        CLOSED.append(self)


def echo(request: Request) -> Response | Awaitable[Response]:
    response = Response(200, {"x-target": request.target.decode()}, request.body)
    return later(response) if request.target == b"/later" else response


async def later(response: Response) -> Response:
    await asyncio.sleep(0.02)  # so that the answer is not there at once
    return response


@asynccontextmanager
async def serving(path: Path, max_body: int = 1_000) -> AsyncIterator[Server]:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.setblocking(False)
    server = Server(echo, max_body, {b"shout": Shouting})
    await server.start(sock)
    try:
        yield server
    finally:
        await server.stop(0.0)


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader, *, body: bool = True) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
    return head, await reader.readexactly(length) if body else b""


async def test_one_connection_serves_request_after_request(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as (reader, writer):
        for number in range(3):
            writer.write(b"POST /%d HTTP/1.1\r\ncontent-length: 3\r\n\r\nab%d" % (number, number))
            head, body = await answer(reader)
            assert b"x-target: /%d\r\n" % number in head
            assert body == b"ab%d" % number


async def test_head_does_not_shift_the_answers_behind_it(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as (reader, writer):
        writer.write(b"HEAD /1 HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n\r\n")
        head, _ = await answer(reader, body=False)
        assert b"content-length: 3\r\n" in head
        assert b"x-target: /2\r\n" in (await answer(reader))[0]


async def test_an_answer_that_comes_later_keeps_its_place(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as (reader, writer):
        writer.write(b"GET /1 HTTP/1.1\r\n\r\nGET /later HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n")
        await writer.drain()
        writer.write(b"GET /later HTTP/1.1\r\nconnection: close\r\n\r\n")
        for target in (b"/1", b"/later", b"/3", b"/later"):
            assert b"x-target: %b\r\n" % target in (await answer(reader))[0]
        assert await reader.read() == b""


async def test_stop_waits_for_an_answer_that_comes_later(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as server, connected(tmp_path / "s") as (reader, writer):
        writer.write(b"GET /1 HTTP/1.1\r\n\r\nGET /later HTTP/1.1\r\n\r\n")
        await answer(reader)
        await server.stop(60.0)
        assert b"x-target: /later\r\n" in (await answer(reader))[0]
        assert await reader.read() == b""


async def test_a_client_that_leaves_before_its_answer_disturbs_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as (reader, writer):
        async with connected(tmp_path / "s") as (_, leaving):
            leaving.write(b"GET /later HTTP/1.1\r\n\r\n")
            await leaving.drain()
        writer.write(b"GET /later HTTP/1.1\r\n\r\n")
        assert b"x-target: /later\r\n" in (await answer(reader))[0]


async def test_a_body_of_ten_megabytes_comes_back_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 40_000
    async with serving(tmp_path / "s", len(content)), connected(tmp_path / "s") as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(content) + content)
        assert (await answer(reader))[1] == content


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\ncontent-length: 1001\r\n\r\n")
        head, body = await answer(reader)
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b'"request_too_large"' in body
        assert await reader.read() == b""


async def test_a_connection_ends_when_its_client_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
        await answer(reader)
        assert await reader.read() == b""


async def test_stop_answers_what_is_arriving_and_closes_what_is_idle(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "s") as server,
        connected(tmp_path / "s") as (idle, _),
        connected(tmp_path / "s") as (reader, writer),
    ):
        writer.write(b"GET /first HTTP/1.1\r\n\r\n")
        await answer(reader)
        writer.write(b"GET /first HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 3\r\n\r\na")
        await answer(reader)
        stopping = asyncio.create_task(server.stop(60.0))
        assert await idle.read() == b""
        writer.write(b"bc")
        assert (await answer(reader))[1] == b"abc"
        assert await reader.read() == b""
        await stopping


async def test_stop_does_not_wait_longer_than_it_may(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as server, connected(tmp_path / "s") as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 3\r\n\r\na")
        await answer(reader)
        await server.stop(0.05)
        assert await reader.read() == b""


async def test_a_connection_is_upgraded_with_what_came_behind(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as (reader, writer):
        writer.write(UPGRADE + b"first")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head == b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\n"
        assert await reader.readexactly(5) == b"FIRST"
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.readexactly(18) == b"GET / HTTP/1.1\r\n\r\n"


async def test_a_protocol_that_speaks_first_is_heard_after_the_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shouting, "GREETING", b"HELLO")
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as (reader, writer):
        writer.write(UPGRADE + b"first")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(10) == b"HELLOFIRST"


async def test_a_request_before_the_upgrade_is_answered(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as (reader, writer):
        writer.write(b"GET /1 HTTP/1.1\r\n\r\n" + UPGRADE)
        assert b"x-target: /1\r\n" in (await answer(reader))[0]
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")


async def test_an_unknown_upgrade_is_ignored(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as (reader, writer):
        writer.write(UPGRADE.replace(b"shout", b"websocket") * 2)
        for _ in range(2):
            assert b"x-target: /up\r\n" in (await answer(reader))[0]


async def test_malformed_bytes_end_an_upgraded_connection(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as (reader, writer):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"?")
        assert await reader.read() == b""


async def test_stop_closes_an_upgraded_connection_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as server, connected(tmp_path / "s") as (reader, writer):
        writer.write(UPGRADE + b"x")
        await reader.readuntil(b"\r\n\r\nX")
        await server.stop(60.0)
        assert await reader.read() == b""


async def test_nothing_is_upgraded_while_stopping(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as server, connected(tmp_path / "s") as (reader, writer):
        writer.write(b"GET /1 HTTP/1.1\r\n\r\n" + UPGRADE[:10])
        await answer(reader)
        stopping = asyncio.create_task(server.stop(60.0))
        await asyncio.sleep(0)  # until the connections have been informed
        writer.write(UPGRADE[10:])
        assert b"x-target: /up\r\n" in (await answer(reader))[0]
        assert await reader.read() == b""
        await stopping


async def test_a_session_may_write_later_and_hears_of_its_end(tmp_path: Path) -> None:
    CLOSED.clear()
    async with serving(tmp_path / "s"):
        async with connected(tmp_path / "s") as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nupgrade: shout\r\n\r\n~")
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(5) == b"LATER"
        await until(lambda: CLOSED)
