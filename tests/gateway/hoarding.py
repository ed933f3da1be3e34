"""Clients that begin requests with large bodies and never finish them."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.events

from tests.waiting import until

PATH = "/v1/chat/completions"
#: Seconds without progress after which no more is sent: reading has stopped.
STALL = 1.0


def resident(pid: int) -> int:
    """Returns the bytes of memory that a process has now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"process {pid} reports no memory")


@dataclass(frozen=True)
class Upload:
    """The part of its body that each request sends; with `length` None, its length is not stated."""

    length: int | None
    sent: int
    piece: int = 16 * 1024
    key: str = ""


@dataclass
class Hoard:
    """Connections to `address` that stay open until the block is left. `answers` are complete: status and body."""

    address: tuple[str, int]
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._writers: list[asyncio.StreamWriter] = []
        self._readers: list[asyncio.Task[None]] = []
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def http1(self, connections: int, upload: Upload) -> None:
        """Sends one request on each connection."""
        await asyncio.gather(*(self._http1(upload) for _ in range(connections)))

    async def http2(self, connections: int, streams: int, upload: Upload) -> None:
        """Sends this many requests at a time on each connection."""
        await asyncio.gather(*(self._http2(streams, upload) for _ in range(connections)))

    async def idle(self, connections: int, *, closed: int) -> int:
        """Opens connections that send nothing, and waits until `closed` of them are closed. Returns
        how many are.
        """
        readers = [(await self._connect())[0] for _ in range(connections)]

        def gone() -> int:
            return sum(reader.at_eof() or reader.exception() is not None for reader in readers)

        await until(lambda: gone() >= closed)
        return gone()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.address)
        self._writers.append(writer)
        return reader, writer

    async def _http1(self, upload: Upload) -> None:
        reader, writer = await self._connect()
        self._readers.append(asyncio.create_task(self._answer(reader)))
        lines = [f"POST {PATH} HTTP/1.1", "host: gateway", "content-type: application/json"]
        lines += [f"authorization: Bearer {upload.key}"] if upload.key else []
        lines += ["transfer-encoding: chunked"] if upload.length is None else [f"content-length: {upload.length}"]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        data = b"x" * upload.piece
        with contextlib.suppress(OSError, TimeoutError):
            for _ in range(upload.sent // upload.piece):
                writer.write(b"%x\r\n%b\r\n" % (len(data), data) if upload.length is None else data)
                async with asyncio.timeout(STALL):
                    await writer.drain()
                await asyncio.sleep(0)  # the others

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")]
        body = await reader.readexactly(int(length.split()[1]))
        self.answers.append((int(head.split()[1]), body))

    async def _http2(self, streams: int, upload: Upload) -> None:
        reader, writer = await self._connect()
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        left: dict[int, int] = {}
        statuses: dict[int, int] = {}
        bodies: dict[int, bytes] = {}
        opened = 0
        with contextlib.suppress(OSError, TimeoutError):
            while True:
                allowed = min(connection.remote_settings.max_concurrent_streams, streams)
                while opened < streams and connection.open_outbound_streams < allowed:
                    left[self._begin(connection, upload)] = upload.sent
                    opened += 1
                for stream in left:
                    _send(connection, stream, left, upload.piece)
                writer.write(connection.data_to_send())
                async with asyncio.timeout(STALL):
                    await writer.drain()
                    data = await reader.read(65_536)
                if not data:
                    return
                for event in connection.receive_data(data):
                    match event:
                        case h2.events.ResponseReceived():
                            statuses[event.stream_id] = int(dict(event.headers)[b":status"])
                        case h2.events.DataReceived():
                            bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                        case h2.events.StreamEnded():
                            self.answers.append((statuses[event.stream_id], bodies.get(event.stream_id, b"")))
                            left.pop(event.stream_id, None)
                        case h2.events.StreamReset():
                            left.pop(event.stream_id, None)

    @staticmethod
    def _begin(connection: h2.connection.H2Connection, upload: Upload) -> int:
        stream = connection.get_next_available_stream_id()
        headers = [(":method", "POST"), (":path", PATH), (":scheme", "http"), (":authority", "gateway")]
        headers += [("authorization", f"Bearer {upload.key}")] if upload.key else []
        headers += [] if upload.length is None else [("content-length", str(upload.length))]
        connection.send_headers(stream, [*headers, ("content-type", "application/json")])
        return stream


def _send(connection: h2.connection.H2Connection, stream: int, left: dict[int, int], piece: int) -> None:
    """Sends as much as the windows allow."""
    while size := min(
        connection.local_flow_control_window(stream), connection.max_outbound_frame_size, piece, left[stream]
    ):
        connection.send_data(stream, b"x" * size)
        left[stream] -= size
