"""The gateway's end of an HTTP/2 connection to a node: a client over h2, which misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h2.events
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from node_sidecar.http2.connection import PatientConnection

_INITIAL_WINDOW = 65_535


@dataclass(slots=True)
class Answer:
    """An answer on one stream."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    pieces: int = 0
    ended: bool = False
    reset: int | None = None

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None

    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def code(self) -> str:
        """The code in OpenAI's error object."""
        return str(self.json()["error"]["code"])


class Peer:
    """A peer; call `start` first. `acknowledges` says whether received bytes are returned to the windows."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        window: int = _INITIAL_WINDOW,
        acknowledges: bool = True,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._window = window
        self._acknowledges = acknowledges
        self._moved = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None
        self.h2 = PatientConnection(H2Configuration(client_side=True))
        self.answers: dict[int, Answer] = {}
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.pings = 0
        self.on_data: Callable[[bytes], None] | None = None  # sees each DATA frame as it arrives
        self.settled = False  # the node's settings are there
        self.closed = False

    async def start(self, *, reads: bool = True) -> None:
        """Sends the preface. With `reads`, returns when the node's settings have arrived."""
        self.h2.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = self._window
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        if self._window > _INITIAL_WINDOW:
            self.h2.increment_flow_control_window(self._window - _INITIAL_WINDOW)
        self.flush()
        if reads:
            self.read()
            await self.until(lambda: self.settled or self.closed)

    def read(self) -> None:
        """Begins to read."""
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._writer.transport.abort()

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self._writer.write(data)

    def request(
        self,
        path: str = "/v1/chat/completions",
        body: object = None,
        *,
        method: str = "POST",
        headers: tuple[tuple[str, str], ...] = (),
        ends: bool = True,
    ) -> int:
        """Opens a stream with a body that fits into the windows. With `ends=False`, more of the body follows."""
        stream_id = self.h2.get_next_available_stream_id()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        names = {":method": method, ":scheme": "https", ":authority": "node", ":path": path}
        self.answers[stream_id] = Answer()
        sends = body is not None
        self.h2.send_headers(stream_id, [*names.items(), *headers], end_stream=ends and not sends)
        if sends:
            size = self.h2.max_outbound_frame_size
            for start in range(0, len(data), size):
                self.h2.send_data(stream_id, data[start : start + size])
            if ends:
                self.h2.end_stream(stream_id)
        self.flush()
        return stream_id

    def chat(self, model: str = "gpt-4.1", *, headers: tuple[tuple[str, str], ...] = (), **more: object) -> int:
        """Sends a chat request; a streaming one with `stream=True`."""
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
        return self.request(body=body, headers=(("content-type", "application/json"), *headers))

    def reset(self, stream_id: int) -> None:
        """Resets the stream, as when the client has left."""
        self.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
        self.flush()

    def acknowledge(self, stream_id: int, size: int) -> None:
        self.h2.acknowledge_received_data(size, stream_id)
        self.flush()

    async def answer(self, stream_id: int) -> Answer:
        """Returns the answer once it is complete."""
        answer = self.answers[stream_id]
        await self.until(lambda: answer.over or self.closed)
        return answer

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until incoming data makes `condition` true."""
        async with self._moved:
            await self._moved.wait_for(condition)

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(1 << 18):
                for event in self.h2.receive_data(data):
                    self._take(event)
                self.flush()
                async with self._moved:
                    self._moved.notify_all()
        except OSError:
            pass
        self.closed = True
        async with self._moved:
            self._moved.notify_all()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(stream_id=stream_id):
                answer = self.answers[stream_id]
                fields = {name.decode(): value.decode() for name, value in event.headers}
                answer.status = int(fields.pop(":status"))
                answer.headers = fields
            case h2.events.DataReceived(stream_id=stream_id):
                answer = self.answers[stream_id]
                if self.on_data is not None:
                    self.on_data(event.data)
                answer.data += event.data
                answer.pieces += 1
                if self._acknowledges and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream_id)
            case h2.events.StreamEnded(stream_id=stream_id):
                self.answers[stream_id].ended = True
            case h2.events.StreamReset(stream_id=stream_id):
                if stream_id in self.answers:
                    self.answers[stream_id].reset = int(event.error_code)
            case h2.events.ConnectionTerminated():
                self.goaway = event
            case h2.events.RemoteSettingsChanged():
                self.settled = True
            case h2.events.PingReceived():
                self.pings += 1
