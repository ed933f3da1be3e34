"""The gateway requests usage at the end of streams; only clients that requested it too receive it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.gateway.process import GatewayProcess

CONTENT = [
    b'data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}',
    b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"a \\"usage\\": {} and \\"choices\\": []"}}]}',
    b'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
]
USAGE = b'data: {"id":"1","choices": [],"usage": {"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
DONE = b"data: [DONE]"


def stream(events: list[bytes], line_end: bytes = b"\n") -> bytes:
    return b"".join(event + 2 * line_end for event in events)


@pytest.fixture
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path_factory.mktemp("gw") / "data") as running:
        yield running


@asynccontextmanager
async def upstream(pieces: list[bytes]) -> AsyncIterator[int]:
    """A server that answers every request with these pieces, each written by itself; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0.001)  # so that the pieces arrive separately
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def received(gateway: GatewayProcess, pieces: list[bytes], **body: Any) -> bytes:
    async with upstream(pieces) as port:
        config = {
            "version": 1,
            "providers": [{"name": "p", "base_url": f"http://127.0.0.1:{port}"}],
            "routes": [{"model": "m", "targets": [{"provider": "p", "model": "m"}]}],
        }
        await asyncio.to_thread(gateway.apply, config)
        request = {"model": "m", "messages": [], "stream": True, **body}
        headers = {"authorization": f"Bearer {gateway.api_key}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{gateway.base_url}/chat/completions", json=request) as answer,
        ):
            return await answer.read()


async def test_the_event_is_hidden_however_the_stream_is_cut(gateway: GatewayProcess) -> None:
    for line_end in (b"\n", b"\r\n", b"\r"):
        sent, expected = stream([*CONTENT, USAGE, DONE], line_end), stream([*CONTENT, DONE], line_end)
        assert await received(gateway, [sent]) == expected
        assert await received(gateway, [sent[at : at + 7] for at in range(0, len(sent), 7)]) == expected
        assert await received(gateway, [bytes([byte]) for byte in sent]) == expected
    # Nothing follows [DONE], not even its blank line.
    bare = stream(CONTENT) + USAGE + b"\n\n" + DONE
    assert await received(gateway, [bare]) == stream(CONTENT) + DONE
    assert await received(gateway, [bare[:-3], bare[-3:]]) == stream(CONTENT) + DONE


async def test_a_client_that_asked_for_usage_gets_it(gateway: GatewayProcess) -> None:
    sent = stream([*CONTENT, USAGE, DONE])
    assert await received(gateway, [sent], stream_options={"include_usage": True}) == sent


async def test_a_client_that_declines_usage_does_not_get_it(gateway: GatewayProcess) -> None:
    sent, expected = stream([*CONTENT, USAGE, DONE]), stream([*CONTENT, DONE])
    assert await received(gateway, [sent], stream_options={"include_usage": False}) == expected
