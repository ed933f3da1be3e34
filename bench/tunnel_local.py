"""The local server of `bench.tunnel`: writes one event at a time, each with its time of sending."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

_MODEL = re.compile(rb'"model": ?"events-(\d+)-(\d+)"')
#: The answer to a probe: the models given on the command line.
_LIST = json.dumps({"object": "list", "data": [{"id": each, "object": "model"} for each in sys.argv[1:]]}).encode()
_LIST_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
#: As long as a typical event of a chat; begins with the nanoseconds of CLOCK_MONOTONIC.
_EVENT = b'data: %020d {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A model named `events-<count>-<microseconds>` sets the pace."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET "):
                writer.write(
                    _LIST_HEAD % (len(_LIST), _LIST) if head.startswith(b"GET /v1/models ") else _NOT_FOUND
                )
                continue
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            assert length is not None
            model = _MODEL.search(await reader.readexactly(int(length[1])))
            assert model is not None
            pause = int(model[2]) / 1e6
            writer.write(_HEAD)
            for _ in range(int(model[1])):
                event = _EVENT % time.monotonic_ns()
                writer.write(b"%x\r\n%s\r\n" % (len(event), event))
                await (asyncio.sleep(pause) if pause else writer.drain())
            writer.write(b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
