"""A node as the gateway sees it: tunnels that it opens, or a TLS port, and an HTTP/2 server on top of either.

It answers with a JSON object with its name, or with as many events as `events` if the request has `"stream":
true`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)

from tests.fakes.certificates import GATEWAY_NAME, NodeTls

HANDSHAKE = "/reverse_connections/request"
_PING = b"RPING"


@dataclass
class Seen:
    """A request that arrived; `connection` is the tunnel's number, from 0."""

    connection: int
    headers: Mapping[str, str]
    body: bytes = b""
    #: The gateway cancelled it before it was answered.
    reset: asyncio.Event = field(default_factory=asyncio.Event)


class RefusedError(Exception):
    """The handshake was not answered with 101."""


class Node:
    """A node called `name`. Close it with `async with`."""

    def __init__(self, name: str, tls: NodeTls, *, status: int = 200, events: int = 3) -> None:
        self.name = name
        self.status = status
        self.events = events
        #: Seconds between a stream's events; with None, the stream waits for ever after the first.
        self.pace: float | None = 0.0
        self.seen: list[Seen] = []
        self.pings = 0
        #: Bytes of answers so far, and whether an answer ever had to wait for its window.
        self.sent = 0
        self.held_up = asyncio.Event()
        self.connections: list[Connection] = []
        self._tls = tls
        self._server: asyncio.Server | None = None

    async def open_tunnels(self, address: tuple[str, int], count: int, **claims: str) -> None:
        """Opens `count` more tunnels. `claims` replace the node's statements about itself, by the last word of the
        header's name.

        Raises:
            RefusedError: with the answer.
            OSError: in TLS already (ssl.SSLError), or the connection was closed.
        """
        says = {"node": self.name, "cluster": self.name, "tenant": self.name, **claims}
        lines = [f"GET {HANDSHAKE} HTTP/1.1", "host: gateway", "connection: upgrade", "upgrade: reverse-tunnel"]
        lines += [f"x-envoy-reverse-tunnel-{part}-id: {value}" for part, value in says.items()]
        for _ in range(count):
            reader, writer = await asyncio.open_connection(
                *address, ssl=self._tls.client(), server_hostname=GATEWAY_NAME
            )
            writer.write("\r\n".join([*lines, "", ""]).encode())
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                writer.close()
                raise ConnectionResetError("closed during the handshake") from error
            if not head.startswith(b"HTTP/1.1 101 "):
                writer.close()
                raise RefusedError(head.decode())
            self._serve(reader, writer)

    async def listen(self) -> tuple[str, int]:
        """Becomes reachable directly. Returns its address."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls.server())
        host, port = self._server.sockets[0].getsockname()
        return str(host), int(port)

    def freeze(self) -> None:
        """Behaves as after SIGSTOP: connections stay, nothing is read or answered."""
        for each in self.connections:
            each.freeze()

    async def close(self) -> None:
        """Behaves like a machine that is switched off."""
        if self._server is not None:
            self._server.close()
        for each in self.connections:
            await each.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(Connection(self, len(self.connections), reader, writer))


class Connection:
    """A tunnel or a direct connection: idle pings until HTTP/2 begins, with this side as the server."""

    def __init__(
        self, node: Node, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.node = node
        self.number = number
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.ended = asyncio.Event()
        self._reader, self._writer = reader, writer
        self._begun = self._frozen = False
        self._streams: dict[int, Seen] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._window = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def go_away(self) -> None:
        """Drains: accepts nothing new and finishes running requests."""
        self.h2.close_connection(ErrorCodes.NO_ERROR, last_stream_id=self.h2.highest_inbound_stream_id)
        # h2 treats the connection as closed, but in the protocol running streams continue.
        self.h2.state_machine.state = type(self.h2.state_machine.state).SERVER_OPEN
        self._flush()

    def freeze(self) -> None:
        for task in (self._task, *self._answers):
            task.cancel()
        self._frozen = True

    async def close(self) -> None:
        for task in (self._task, *self._answers):
            task.cancel()
        # An orderly end of TLS waits for the peer, which may have been silenced for ever.
        self._writer.transport.abort()
        with suppress(OSError, asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        try:
            while data := await self._reader.read(65536):
                self._receive(data)
                await self._writer.drain()
        except OSError:
            pass
        finally:
            self.ended.set()
            if not self._frozen:
                for seen in self._streams.values():
                    seen.reset.set()
                self._writer.close()

    def _receive(self, data: bytes) -> None:
        while not self._begun and data.startswith(_PING):
            self.node.pings += 1
            self._writer.write(_PING)
            data = data[len(_PING) :]
        if not data:
            return
        if not self._begun:
            self._begun = True
            self.h2.initiate_connection()
        for event in self.h2.receive_data(data):
            self._on_event(event)
        self._flush()

    def _on_event(self, event: object) -> None:
        match event:
            case RequestReceived():
                seen = Seen(self.number, {str(name): str(value) for name, value in event.headers})
                self._streams[event.stream_id] = seen
                self.node.seen.append(seen)
            case DataReceived():
                self._streams[event.stream_id].body += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                task = asyncio.create_task(self._answer(event.stream_id))
                self._answers.add(task)
                task.add_done_callback(self._answers.discard)
            case StreamReset():
                self._streams.pop(event.stream_id).reset.set()
                self._window.set()
            case WindowUpdated():
                self._window.set()
            case ConnectionTerminated():
                self._writer.close()

    async def _answer(self, stream_id: int) -> None:
        seen = self._streams[stream_id]
        body: dict[str, Any] = json.loads(seen.body) if seen.body else {}
        kind = "text/event-stream" if body.get("stream") else "application/json"
        headers = [(":status", str(self.node.status)), ("content-type", kind)]
        self.h2.send_headers(stream_id, headers)
        if body.get("stream"):
            await self._events(stream_id, seen)
        else:
            reported = {"id": "1", "object": "chat.completion", "node": self.node.name, "choices": []}
            if seen.headers[":path"].endswith("/responses"):
                reported |= {"id": f"resp_{self.node.name}_{len(self.node.seen)}", "object": "response"}
            await self._send(stream_id, seen, json.dumps(reported).encode())
        if not seen.reset.is_set():
            self.h2.end_stream(stream_id)
            self._flush()
            del self._streams[stream_id]

    async def _events(self, stream_id: int, seen: Seen) -> None:
        for number in range(self.node.events):
            event = {"id": "1", "choices": [{"index": 0, "delta": {"content": str(number)}}]}
            await self._send(stream_id, seen, b"data: " + json.dumps(event).encode() + b"\n\n")
            if self.node.pace is None:
                await seen.reset.wait()
            elif self.node.pace:
                await asyncio.sleep(self.node.pace)  # the pace that the test asked for
        await self._send(stream_id, seen, b"data: [DONE]\n\n")

    async def _send(self, stream_id: int, seen: Seen, data: bytes) -> None:
        """Sends within the windows of the stream and the connection."""
        while data and not seen.reset.is_set():
            most = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
            if most > 0:
                self.h2.send_data(stream_id, data[:most])
                self.node.sent += len(data[:most])
                data = data[most:]
                self._flush()
                await self._writer.drain()
            else:
                self.node.held_up.set()
                self._window.clear()
                await self._window.wait()

    def _flush(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(self.h2.data_to_send())
