"""Who is connected, what they run and what they refused: the registry behind `trunkline status`."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from xds_server.protocol.push import Refusal, TypeProgress
from xds_server.protocol.stream import Stream

_HISTORY = 50
_DISCONNECTED_REMEMBERED = 200

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A NACK of one client; `at` is Unix seconds."""

    client_id: str
    type_url: str
    resource_names: tuple[str, ...]
    reason: str
    revision: int
    at: float


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """One client, one type. `rejection` is present while content is refused; `last_ack_ms` is push to ACK."""

    type_url: str
    accepted_revision: int
    pending: bool
    acks: int
    nacks: int
    rejection: Rejection | None
    last_ack_ms: int


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """One client; `since` is Unix seconds of the last connect or disconnect."""

    client_id: str
    kind: str
    software: str
    connected: bool
    since: float
    types: tuple[TypeStatus, ...]


@dataclass(frozen=True, slots=True)
class Propagation:
    """What became of a revision at the clients connected when it was asked about.

    `complete`: each of them took or refused it (or went away). `accepted` counts those that took it; `waiting_for`
    are the ids of those that had not answered.
    """

    revision: int
    complete: bool
    accepted: int
    rejections: tuple[Rejection, ...]
    waiting_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the registry was made."""

    connected: int
    connects: int
    acks: int
    nacks: int


@dataclass(slots=True)
class _Connection:
    """Clock readings of one stream, per type: when the push in flight left, and how long the last ACK took."""

    in_flight: dict[str, tuple[str, float]] = field(default_factory=dict)
    last_ack_ms: dict[str, int] = field(default_factory=dict)
    rejections: dict[str, Rejection] = field(default_factory=dict)
    answers: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Client:
    kind: str
    software: str
    since: float
    streams: dict[Stream, _Connection] = field(default_factory=dict)
    last_types: tuple[TypeStatus, ...] = ()


class _Waiter:
    def __init__(self, revision: int, streams: Sequence[Stream]) -> None:
        self.revision = revision
        self.unsettled = set(streams)
        self.accepted: set[str] = set()
        self.rejections: list[Rejection] = []
        self.done = asyncio.Event()


class ClientRegistry:
    """Fed by the transport after every event of a stream; belongs to one event loop."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._rejections: deque[Rejection] = deque(maxlen=_HISTORY)
        self._waiters: set[_Waiter] = set()
        self._connects = 0
        self._acks = 0
        self._nacks = 0

    def observe(self, stream: Stream) -> None:
        """Something happened on `stream`: a request, or a snapshot."""
        if stream.node is None:
            return
        client_id = stream.node.id
        client = self._clients.get(client_id)
        if client is None or stream not in client.streams:
            client = self._connected(stream, client)
        connection = client.streams[stream]
        for refusal in stream.take_refusals():
            self._refused(client_id, connection, refusal)
        for progress in stream.progress():
            self._time(connection, progress)
        for waiter in tuple(self._waiters):
            if stream in waiter.unsettled:
                self._check(waiter, stream, client_id)

    def disconnected(self, stream: Stream) -> None:
        """`stream` ended. The client is remembered for a while."""
        if stream.node is None:
            return
        client = self._clients.get(stream.node.id)
        if client is None or stream not in client.streams:
            return
        connection = client.streams.pop(stream)
        if not client.streams:
            client.last_types = _types(stream, connection)
            client.since = time.time()
            self._clients.move_to_end(stream.node.id)
            _log.info("xds client disconnected", client=stream.node.id)
            self._forget_old()
        for waiter in tuple(self._waiters):
            waiter.unsettled.discard(stream)
            if not waiter.unsettled:
                waiter.done.set()

    def clients(self) -> tuple[ClientStatus, ...]:
        """Connected and recently disconnected ones, by id. Of several streams of one id the newest counts."""
        return tuple(
            ClientStatus(
                client_id=client_id,
                kind=client.kind,
                software=client.software,
                connected=bool(client.streams),
                since=client.since,
                types=_types(*list(client.streams.items())[-1]) if client.streams else client.last_types,
            )
            for client_id, client in sorted(self._clients.items())
        )

    def recent_rejections(self) -> tuple[Rejection, ...]:
        """Newest first, at most 50."""
        return tuple(reversed(self._rejections))

    def counters(self) -> Counters:
        connected = sum(len(client.streams) for client in self._clients.values())
        return Counters(connected, self._connects, self._acks, self._nacks)

    async def wait_settled(self, revision: int, timeout: float) -> Propagation:
        """Wait until every client connected now took or refused `revision`, at most `timeout` seconds."""
        streams = {stream: client_id for client_id, client in self._clients.items() for stream in client.streams}
        waiter = _Waiter(revision, tuple(streams))
        for stream, client_id in streams.items():
            self._check(waiter, stream, client_id)
        self._waiters.add(waiter)
        try:
            if waiter.unsettled:
                async with asyncio.timeout(timeout):
                    await waiter.done.wait()
        except TimeoutError:
            pass
        finally:
            self._waiters.discard(waiter)
        refused_by = {rejection.client_id for rejection in waiter.rejections}
        waiting_for = {streams[stream] for stream in waiter.unsettled}
        return Propagation(
            revision=revision,
            complete=not waiting_for,
            accepted=len(waiter.accepted - refused_by - waiting_for),
            rejections=tuple(waiter.rejections),
            waiting_for=tuple(sorted(waiting_for)),
        )

    def _connected(self, stream: Stream, client: _Client | None) -> _Client:
        node = stream.node
        if node is None:
            raise RuntimeError("a stream is registered once it said who it is")
        if client is None:
            client = self._clients[node.id] = _Client(node.kind, node.software, time.time())
        if not client.streams:
            client.since = time.time()
        client.kind, client.software = node.kind, node.software
        client.streams[stream] = _Connection()
        self._connects += 1
        _log.info("xds client connected", client=node.id, kind=node.kind, software=node.software)
        return client

    def _refused(self, client_id: str, connection: _Connection, refusal: Refusal) -> None:
        rejection = Rejection(
            client_id, refusal.type_url, refusal.names, refusal.reason, refusal.revision, time.time()
        )
        self._rejections.append(rejection)
        connection.rejections[refusal.type_url] = rejection
        _log.warning(
            "xds client refused configuration",
            client=client_id,
            type=refusal.type_url,
            resources=refusal.names,
            reason=refusal.reason,
            revision=refusal.revision,
        )

    def _time(self, connection: _Connection, progress: TypeProgress) -> None:
        acks, nacks = connection.answers.get(progress.type_url, (0, 0))
        if (progress.acks, progress.nacks) != (acks, nacks):
            connection.answers[progress.type_url] = progress.acks, progress.nacks
            self._acks += progress.acks - acks
            self._nacks += progress.nacks - nacks
            _, sent_at = connection.in_flight.pop(progress.type_url, ("", 0.0))
            if sent_at and progress.acks > acks:
                connection.last_ack_ms[progress.type_url] = round((time.monotonic() - sent_at) * 1000)
        if progress.unanswered and connection.in_flight.get(progress.type_url, ("",))[0] != progress.unanswered:
            connection.in_flight[progress.type_url] = progress.unanswered, time.monotonic()

    def _check(self, waiter: _Waiter, stream: Stream, client_id: str) -> None:
        if not stream.settled(waiter.revision):
            return
        waiter.unsettled.discard(stream)
        connection = self._clients[client_id].streams[stream]
        refused = [
            connection.rejections[progress.type_url]
            for progress in stream.progress()
            if progress.refusal is not None and progress.refusal.revision >= waiter.revision
        ]
        waiter.rejections += refused
        if not refused:
            waiter.accepted.add(client_id)
        if not waiter.unsettled:
            waiter.done.set()

    def _forget_old(self) -> None:
        gone = [client_id for client_id, client in self._clients.items() if not client.streams]
        for client_id in gone[:-_DISCONNECTED_REMEMBERED]:
            del self._clients[client_id]


def _types(stream: Stream, connection: _Connection) -> tuple[TypeStatus, ...]:
    return tuple(
        TypeStatus(
            type_url=progress.type_url,
            accepted_revision=progress.accepted_revision,
            pending=bool(progress.unanswered) or progress.waiting,
            acks=progress.acks,
            nacks=progress.nacks,
            rejection=connection.rejections.get(progress.type_url) if progress.refusal is not None else None,
            last_ack_ms=connection.last_ack_ms.get(progress.type_url, 0),
        )
        for progress in stream.progress()
    )
