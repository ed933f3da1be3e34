"""Requests as bytes, for everything that no client library sends or shows."""

from __future__ import annotations

import asyncio

from tests.gateway.process import GatewayProcess

#: Status, header lines and body.
Answer = tuple[int, dict[str, str], bytes]


async def exchange(gateway: GatewayProcess, request: bytes) -> Answer:
    """Returns the first answer on a connection. Names of headers are in lower case, and so are their values."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(request)
    async with asyncio.timeout(120):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        if request.startswith(b"HEAD "):
            body = b""
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = await reader.read()
    writer.close()
    return int(head[0].split()[1]), headers, body


def bodiless(method: str, path: str, *lines: str) -> bytes:
    """Returns a request without a body."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()
