"""Clients that begin requests with large bodies and never finish them.

They never give up: a peer that has stopped reading and a busy machine look the same for a while. `http1` and
`http2` return when sending pauses, and a test then waits for the answers that it counts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import h2.config
import h2.connection
import h2.events

from tests.waiting import until

T = TypeVar("T")
PATH = "/v1/chat/completions"
#: Seconds without progress after which sending counts as paused.
PAUSE = 1.0


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
    """Connections to `address` that stay open until the block is left. `answers` are complete: status and body.
    `uploaded` counts the requests over HTTP/1.1 whose part of a body was sent.
    """

    address: tuple[str, int]
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    uploaded: int = 0

    async def __aenter__(self) -> Self:
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []
        return self

    async def answered(self, least: int) -> None:
        """Waits until there are at least this many answers."""
        try:
            await until(lambda: len(self.answers) >= least, within=200)
        except TimeoutError:
            raise AssertionError(f"{len(self.answers)} answers, not {least}") from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def http1(self, connections: int, upload: Upload) -> None:
        """Sends one request on each connection. Returns when each has sent its part or pauses."""
        await self._paused(lambda paused: self._http1(upload, paused), connections)

    async def http2(self, connections: int, streams: int, upload: Upload) -> None:
        """Sends this many requests at a time on each connection. Returns when each connection pauses or is
        closed.
        """
        await self._paused(lambda paused: self._http2(streams, upload, paused), connections)

    async def _paused(
        self, begin: Callable[[asyncio.Event], Coroutine[None, None, None]], connections: int
    ) -> None:
        """Begins work on each connection, and waits until every piece of work has ended or set its event."""

        async def work(paused: asyncio.Event) -> None:
            with contextlib.suppress(OSError):
                await begin(paused)
            paused.set()

        events = [asyncio.Event() for _ in range(connections)]
        self._tasks += [asyncio.create_task(work(paused)) for paused in events]
        await asyncio.gather(*(paused.wait() for paused in events))

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

    async def _http1(self, upload: Upload, paused: asyncio.Event) -> None:
        reader, writer = await self._connect()
        self._tasks.append(asyncio.create_task(self._answer(reader)))
        lines = [f"POST {PATH} HTTP/1.1", "host: gateway", "content-type: application/json"]
        lines += [f"authorization: Bearer {upload.key}"] if upload.key else []
        lines += ["transfer-encoding: chunked"] if upload.length is None else [f"content-length: {upload.length}"]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        data = b"x" * upload.piece
        for _ in range(upload.sent // upload.piece):
            writer.write(b"%x\r\n%b\r\n" % (len(data), data) if upload.length is None else data)
            await _pausing(writer.drain, paused)
            await asyncio.sleep(0)  # the others
        self.uploaded += 1

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")]
        body = await reader.readexactly(int(length.split()[1]))
        self.answers.append((int(head.split()[1]), body))

    async def _http2(self, streams: int, upload: Upload, paused: asyncio.Event) -> None:
        reader, writer = await self._connect()
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        left: dict[int, int] = {}
        statuses: dict[int, int] = {}
        bodies: dict[int, bytes] = {}
        opened = 0
        while True:
            allowed = min(connection.remote_settings.max_concurrent_streams, streams)
            while opened < streams and connection.open_outbound_streams < allowed:
                left[self._begin(connection, upload)] = upload.sent
                opened += 1
            for stream in left:
                _send(connection, stream, left, upload.piece)
            writer.write(connection.data_to_send())
            await _pausing(writer.drain, paused)
            data = await _pausing(lambda: reader.read(65_536), paused)
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


async def _pausing(step: Callable[[], Awaitable[T]], paused: asyncio.Event) -> T:
    """Awaits a step, however long it takes; sets `paused` if it takes longer than `PAUSE`."""
    if not paused.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PAUSE):  # the step goes on afterwards
                return await step()
        paused.set()
    return await step()


def _send(connection: h2.connection.H2Connection, stream: int, left: dict[int, int], piece: int) -> None:
    """Sends as much as the windows allow."""
    while size := min(
        connection.local_flow_control_window(stream), connection.max_outbound_frame_size, piece, left[stream]
    ):
        connection.send_data(stream, b"x" * size)
        left[stream] -= size
