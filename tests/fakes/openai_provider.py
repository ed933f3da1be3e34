"""A fake of an OpenAI-compatible provider, as a process of its own: `python -m tests.fakes.openai_provider`.

It prints one JSON line `{"port": …, "control_port": …}` when it listens. The control API (`/__control/…`, neither
counted nor recorded) answers on both ports; `control_port` stays reachable when the other one refuses connections.

    GET    /__control/state
    PUT    /__control/behaviour   {"mode": "status:429", "retry_after": "1", …}   see behaviour.Behaviour
    GET    /__control/requests?since=ID
    DELETE /__control/requests    forget records and counters
    GET    /__control/produced    [user, prompt tokens, completion tokens] of every chat answered whole
    GET    /__control/wait?counter=requests&at_least=3&timeout_ms=10000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import stat
import struct
import sys
import time
from collections import deque
from typing import cast
from urllib.parse import parse_qs

from tests.fakes.behaviour import Behaviour
from tests.fakes.http11 import MalformedRequestError, Request, RequestReader, chunk, head
from tests.fakes.listening import Port
from tests.fakes.openai_answers import MODELS, answer
from tests.fakes.openai_parts import Answer, EventStream, error
from tests.fakes.recording import COUNTERS, Record, Recording

STREAM_HEADERS = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("transfer-encoding", "chunked"),
)
STATUS_ERRORS = {
    400: ("Invalid value for 'temperature'.", "invalid_value"),
    401: ("Incorrect API key provided.", "invalid_api_key"),
    403: ("Country, region, or territory not supported", "unsupported_country_region_territory"),
    429: ("Rate limit reached for requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", None),
    503: ("The engine is currently overloaded, please try again later.", None),
}


class Provider:
    """The state that all connections share."""

    def __init__(self, name: str, api_keys: frozenset[str], port: int, models: tuple[str, ...] = MODELS) -> None:
        self.name = name
        self.models = models
        self.api_keys = api_keys
        self.behaviour = Behaviour()
        self.recording = Recording()
        self.connections: set[Connection] = set()
        self.port = Port(port, lambda: Connection(self))
        self.control_port = Port(0, lambda: Connection(self))
        self._used = 0
        #: Set when the behaviour is set again.
        self.set_again = asyncio.Event()

    def take_behaviour(self, method: str) -> Behaviour:
        """Returns the behaviour for one request; counts down `times`, which is of no concern to a health check."""
        taken = self.behaviour
        if taken.times:
            if method != "POST":
                return Behaviour()
            self._used += 1
            if self._used >= taken.times:
                self.behaviour = Behaviour()
        return taken

    async def behave(self, behaviour: Behaviour) -> None:
        """Sets the behaviour from the next request on; refuse and drop_syn take effect at once, also for open
        connections.
        """
        self.behaviour = behaviour
        self._used = 0
        self.set_again.set()
        self.set_again = asyncio.Event()
        if behaviour.mode not in ("refuse", "drop_syn"):
            await self.port.listen()
            return
        if behaviour.mode == "refuse":
            self.port.refuse()
        else:
            self.port.drop_syn()
        for connection in list(self.connections):
            connection.drop()

    def state(self) -> dict[str, object]:
        counters: dict[str, object] = {name: self.recording.counters[name] for name in COUNTERS}
        by_status = {str(status): count for status, count in self.recording.by_status.items()}
        behaviour = dataclasses.asdict(self.behaviour)
        return {"name": self.name, "behaviour": behaviour, "counters": counters, "by_status": by_status}


class Connection(asyncio.Protocol):
    """One client connection, whose requests are answered in order."""

    _count = 0

    def __init__(self, provider: Provider) -> None:
        Connection._count += 1
        self._id = Connection._count
        self._provider = provider
        self._reader = RequestReader()
        self._queue: deque[Request] = deque()
        self._record: Record | None = None
        self._answering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._closing = False
        self._counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer: socket.socket = transport.get_extra_info("socket")
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._record is not None and not self._closing:
            self._provider.recording.disconnect(self._record, "fin" if exc is None else "rst")
        elif self._reader.partial and not self._closing:
            self._provider.recording.count("unfinished_requests")
        self._provider.connections.discard(self)
        self._writable.set()
        if self._answering is not None:
            self._answering.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._queue.extend(self._reader.feed(data))
        except MalformedRequestError:
            self._transport.write(head(400, [("content-length", "0"), ("connection", "close")]))
            self.drop()
            return
        if self._reader.expects_continue:
            self._reader.expects_continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._queue and self._answering is None:
            self._answering = asyncio.get_running_loop().create_task(self._answer_all())

    def drop(self) -> None:
        """Closes from this side: the peer's reaction does not count as a disconnect."""
        self._closing = True
        self._transport.close()

    def _reset(self) -> None:
        peer: socket.socket = self._transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._closing = True
        self._transport.abort()

    async def _answer_all(self) -> None:
        while self._queue and not self._closing:
            request = self._queue.popleft()
            if request.path.startswith("/__control/"):
                self._send(await control(self._provider, request))
                continue
            if not self._counted:
                self._counted = True
                self._provider.connections.add(self)
                self._provider.recording.count("connections")
            behaviour = (
                self._provider.take_behaviour(request.method)
                .wanted_by(_member_of(request, "user"))
                .wanted_by_model(_member_of(request, "model"))
            )
            self._record = self._provider.recording.begin(request, self._id, behaviour.mode)
            await self._answer(request, behaviour, self._record)
            if not self._closing:
                self._provider.recording.finish(self._record)
            self._record = None
        self._answering = None

    async def _answer(self, request: Request, behaviour: Behaviour, record: Record) -> None:
        match behaviour.mode:
            case "hang":
                await asyncio.Event().wait()
            case "reset":
                self._reset()
            case "trickle_headers":
                await self._trickle(behaviour.interval_ms or 100)
            case "headers_then_silence":
                record.status = 200
                self._transport.write(head(200, STREAM_HEADERS))
                await asyncio.Event().wait()
            case "raw":
                await self._raw(behaviour)
            case "status":
                record.status = behaviour.status
                self._send(_refusal(behaviour))
            case _:
                if behaviour.mode == "slow":
                    await asyncio.sleep(behaviour.delay_ms / 1000)  # as the test asked for
                await self._answer_well(request, behaviour, record, self._provider.set_again)

    async def _raw(self, behaviour: Behaviour) -> None:
        size = -(-len(behaviour.raw) // behaviour.pieces)
        for start in range(0, len(behaviour.raw), size):
            self._transport.write(behaviour.raw[start : start + size].encode("latin-1"))
            if start + size < len(behaviour.raw):
                await asyncio.sleep(behaviour.interval_ms / 1000)  # as the test asked for
        if behaviour.closes:
            self._transport.close()

    async def _trickle(self, interval_ms: int) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nx-trickle: ":
            self._transport.write(bytes([byte]))
            await asyncio.sleep(interval_ms / 1000)  # as the test asked for
        while True:
            self._transport.write(b"a")
            await asyncio.sleep(interval_ms / 1000)  # as the test asked for

    async def _answer_well(
        self, request: Request, behaviour: Behaviour, record: Record, set_again: asyncio.Event
    ) -> None:
        answered = self._checked(request, behaviour)
        if answered.prompt_tokens:
            record.user = str(json.loads(request.body).get("user", ""))
            record.prompt_tokens, record.completion_tokens = answered.prompt_tokens, answered.completion_tokens
        dies, held = behaviour.mode == "die_mid_stream", behaviour.mode == "held"
        if isinstance(answered, EventStream):
            record.status = 200
            await self._stream(request, answered, behaviour, record, set_again)
            return
        if held and request.method == "POST":  # health checks are answered
            await set_again.wait()
        if dies:
            record.status = answered.status
            self._transport.write(_whole(answered, self._provider.name)[: -len(answered.body) // 2])
            self.drop()
        else:
            record.status = answered.status
            more = tuple(behaviour.headers.items())
            self._send(dataclasses.replace(answered, headers=(*answered.headers, *more)))

    def _checked(self, request: Request, behaviour: Behaviour) -> Answer | EventStream:
        key = request.header("authorization").removeprefix("Bearer ")
        if self._provider.api_keys and key not in self._provider.api_keys:
            return error(401, "Incorrect API key provided.", "invalid_api_key")
        return answer(request, self._provider.name, behaviour, self._provider.models)

    async def _stream(
        self, request: Request, stream: EventStream, behaviour: Behaviour, record: Record, set_again: asyncio.Event
    ) -> None:
        interval = behaviour.paced_by(_member_of(request, "model")).interval_ms / 1000
        more = behaviour.headers.items()
        self._transport.write(head(200, (*STREAM_HEADERS, *_identity(self._provider.name), *more)))
        due = time.monotonic()
        for event in stream.events:
            if behaviour.mode == "die_mid_stream" and record.events_sent >= behaviour.after_events:
                self.drop()
                return
            if behaviour.mode == "held" and record.events_sent >= behaviour.after_events:
                await set_again.wait()
            if interval and record.events_sent:
                due += interval
                await asyncio.sleep(max(0.0, due - time.monotonic()))  # as the test asked for
            await self._writable.wait()
            self._transport.write(chunk(event))
            record.events_sent += 1
            self._provider.recording.count("events")
        self._transport.write(chunk(b""))

    def _send(self, answered: Answer) -> None:
        self._transport.write(_whole(answered, self._provider.name))


def _identity(name: str) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", f"req_{name}"), ("openai-version", "2020-10-01"), ("x-fake-provider", name))


def _whole(answered: Answer, name: str) -> bytes:
    headers = (
        ("content-type", answered.content_type),
        ("content-length", str(len(answered.body))),
        *_identity(name),
        *answered.headers,
    )
    return head(answered.status, headers) + answered.body


def _refusal(behaviour: Behaviour) -> Answer:
    message, code = STATUS_ERRORS.get(behaviour.status, ("The provider refused.", None))
    refusal = error(behaviour.status, message, code)
    retry_after = behaviour.retry_after or ("1" if behaviour.status == 429 else "")
    headers = (("retry-after", retry_after),) if retry_after else ()
    return dataclasses.replace(refusal, headers=(*headers, *behaviour.headers.items()))


def _member_of(request: Request, name: str) -> object:
    try:
        body = json.loads(request.body)
    except ValueError:
        return None
    return body.get(name) if isinstance(body, dict) else None


async def control(provider: Provider, request: Request) -> Answer:
    """Answers the control API; a wrong call gets a 400 with the reason."""
    query = {name: values[0] for name, values in parse_qs(request.target.partition("?")[2]).items()}
    try:
        match request.method, request.path.removeprefix("/__control/"):
            case "GET", "state":
                value: object = provider.state()
            case "PUT", "behaviour":
                await provider.behave(Behaviour.parse(json.loads(request.body)))
                value = provider.state()
            case "GET", "requests":
                since = int(query.get("since", "0"))
                value = [record.as_json() for record in provider.recording.records if record.id > since]
            case "GET", "produced":
                value = provider.recording.produced()
            case "DELETE", "requests":
                provider.recording.clear()
                value = provider.state()
            case "GET", "wait":
                if query["counter"] not in COUNTERS:
                    raise ValueError(f"unknown counter, known are {COUNTERS}")  # noqa: TRY301
                seconds = int(query.get("timeout_ms", "10000")) / 1000
                reached = await provider.recording.reached(query["counter"], int(query["at_least"]), seconds)
                value = {"reached": reached, **provider.state()}
            case method, path:
                return error(404, f"no control call {method} {path}")
    except (ValueError, TypeError, KeyError) as wrong:
        return error(400, f"{type(wrong).__name__}: {wrong}")
    return Answer(200, json.dumps(value).encode())


async def serve(provider: Provider) -> None:
    """Serves until the process ends, or until standard input closes when it is a pipe (the parent has gone)."""
    await provider.port.listen()
    await provider.control_port.listen()
    line = {"port": provider.port.number, "control_port": provider.control_port.number}
    print(json.dumps(line), flush=True)  # noqa: T201
    gone = asyncio.Event()
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        asyncio.get_running_loop().add_reader(0, gone.set)
    await gone.wait()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.openai_provider")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--name", default="a")
    parser.add_argument("--api-key", action="append", default=[], help="repeatable; without one, any key will do")
    parser.add_argument("--model", action="append", help="repeatable; what it lists, though it answers for any")
    options = parser.parse_args(arguments)

    async def run() -> None:
        models = tuple(options.model or MODELS)
        await serve(Provider(options.name, frozenset(options.api_key), options.port, models))

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main(sys.argv[1:])
