"""Who is connected, what they run and what they refused: the registry behind `trunkline status`."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from xds_server.protocol.push import Refusal, TypeProgress
from xds_server.protocol.stream import Stream

_HISTORY = 50
_DISCONNECTED_REMEMBERED = 200
_REFUSED_REMEMBERED = 50
#: Seconds. An Envoy that warms clusters may take some to answer.
_LONG_UNANSWERED = 30.0

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
    #: What it does wrong: why its last stream was given up, or how many answers it made up; empty if nothing.
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RefusedPeer:
    """An address whose streams are refused: how often, why last, and when (Unix seconds)."""

    peer: str
    reason: str
    count: int
    at: float


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
    warned: bool = False

    def unanswered(self) -> str:
        """What the client has not answered for long, in words; empty if nothing."""
        late = [(sent_at, type_url) for type_url, (_, sent_at) in self.in_flight.items()]
        sent_at, type_url = min(late, default=(math.inf, ""))
        seconds = time.monotonic() - sent_at
        if seconds < _LONG_UNANSWERED:
            return ""
        return f"has not answered a response ({type_url.rpartition('.')[2]}) for {seconds:.0f} s"


@dataclass(slots=True)
class _Client:
    kind: str
    software: str
    since: float
    streams: dict[Stream, _Connection] = field(default_factory=dict)
    last_types: tuple[TypeStatus, ...] = ()
    problem: str = ""


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
        self._refused_peers: OrderedDict[str, RefusedPeer] = OrderedDict()
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
        if stream.unknown_answers:
            if not connection.warned:
                _log.warning("xds client answers responses that were not sent to it", client=client_id)
            connection.warned = True
            client.problem = f"answered {stream.unknown_answers} responses that were not sent to it"
        elif stream.answers:
            client.problem = ""
        for waiter in tuple(self._waiters):
            if stream in waiter.unsettled:
                self._check(waiter, stream, client_id)

    def refused(self, peer: str, reason: str) -> None:
        """A stream of the address `peer` was refused."""
        before = self._refused_peers.pop(peer, None)
        count = before.count + 1 if before is not None else 1
        self._refused_peers[peer] = RefusedPeer(peer, reason, count, time.time())
        while len(self._refused_peers) > _REFUSED_REMEMBERED:
            self._refused_peers.popitem(last=False)
        if count & (count - 1) == 0:  # the first, second, fourth, …: whoever comes again and again fills no disk
            _log.warning("xds stream refused", peer=peer, reason=reason, times=count)

    def disconnected(self, stream: Stream, *, problem: str = "") -> None:
        """`stream` ended, because of `problem` if it was given up. The client is remembered for a while."""
        if stream.node is None:
            return
        client = self._clients.get(stream.node.id)
        if client is None or stream not in client.streams:
            return
        connection = client.streams.pop(stream)
        if problem:
            client.problem = problem
            _log.warning("xds client given up", client=stream.node.id, reason=problem)
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
                problem=client.problem
                or next(
                    (each for each in (connection.unanswered() for connection in client.streams.values()) if each),
                    "",
                ),
            )
            for client_id, client in sorted(self._clients.items())
        )

    def recent_rejections(self) -> tuple[Rejection, ...]:
        """Newest first, at most 50."""
        return tuple(reversed(self._rejections))

    def refused_peers(self) -> tuple[RefusedPeer, ...]:
        """Newest first, at most 50 addresses."""
        return tuple(reversed(self._refused_peers.values()))

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
