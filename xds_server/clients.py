"""Registers which clients are connected, what they run and what they refused: the data behind `trunkline
status`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from xds_server.client_status import ClientStatus, Counters, Propagation, RefusedPeer, Rejection, TypeStatus
from xds_server.expected_clients import ExpectedClients, Types
from xds_server.protocol.push import Nack, TypeProgress
from xds_server.protocol.stream import Stream
from xds_server.reasons import NOTHING, Reason

_HISTORY = 50
_DISCONNECTED_REMEMBERED = 200
_REFUSED_REMEMBERED = 50
#: Seconds after which an answer is overdue. An Envoy that warms clusters may take some of them.
_LONG_UNANSWERED = 30.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Connection:
    """One stream, with monotonic times per type: when the push in flight was sent, and how long the last ACK took.

    `awaited` are the types that a returning client will ask for, until `awaited_until` (monotonic seconds).
    """

    peer: str
    since: float
    awaited: Types
    awaited_until: float
    in_flight: dict[str, tuple[str, float]] = field(default_factory=dict)
    last_ack_ms: dict[str, int] = field(default_factory=dict)
    rejections: dict[str, Rejection] = field(default_factory=dict)
    answers: dict[str, tuple[int, int]] = field(default_factory=dict)
    warned: bool = False

    def awaits(self, stream: Stream) -> bool:
        """Returns whether the client has yet to ask for a type that it asked for before it came back."""
        if not self.awaited or time.monotonic() > self.awaited_until:
            return False
        return not self.awaited <= {progress.type_url for progress in stream.progress()}

    def unanswered(self) -> Reason:
        """Describes the pushes that the client has left unanswered for too long; empty if there are none."""
        late = [(sent_at, type_url) for type_url, (_, sent_at) in self.in_flight.items()]
        sent_at, type_url = min(late, default=(math.inf, ""))
        seconds = time.monotonic() - sent_at
        if seconds < _LONG_UNANSWERED:
            return NOTHING
        return Reason.of("client.unanswered", type_url.rpartition(".")[2], round(seconds))


@dataclass(slots=True)
class _Client:
    kind: str
    software: str
    since: float
    streams: dict[Stream, _Connection] = field(default_factory=dict)
    last_types: tuple[TypeStatus, ...] = ()
    problem: Reason = NOTHING


class _Waiter:
    def __init__(self, revision: int, streams: Sequence[Stream], missing: set[str]) -> None:
        self.revision = revision
        self.unsettled = set(streams)
        #: Clients that are expected to come back.
        self.missing = missing
        self.accepted: set[str] = set()
        self.rejections: list[Rejection] = []
        self.done = asyncio.Event()

    def check(self) -> None:
        """Ends the wait if no client is left to wait for."""
        if not self.unsettled and not self.missing:
            self.done.set()


class ClientRegistry:
    """Tracks clients. The transport feeds it after every event of a stream; it belongs to one event loop.

    A client whose stream ends is expected to come back within `return_seconds`.
    """

    def __init__(self, *, return_seconds: float = 0.0) -> None:
        self._expected = ExpectedClients(return_seconds)
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._rejections: deque[Rejection] = deque(maxlen=_HISTORY)
        self._refused_peers: OrderedDict[str, RefusedPeer] = OrderedDict()
        self._waiters: set[_Waiter] = set()
        #: Called when what `running` returns may have changed.
        self.on_change: Callable[[], object] = lambda: None
        self._connects = 0
        self._acks = 0
        self._nacks = 0

    def expect(self, known: Mapping[str, Types]) -> None:
        """Expects clients that were running when an earlier process ended, with their types."""
        for client_id, types in known.items():
            self._expected.left(client_id, types)

    @property
    def expected_seconds(self) -> float:
        """Returns the seconds until no client is expected any more."""
        return self._expected.longest

    def running(self) -> Mapping[str, Types]:
        """Returns the clients that are connected or expected to come back, with the types that they ask for."""
        connected = {
            client_id: frozenset(progress.type_url for stream in client.streams for progress in stream.progress())
            for client_id, client in self._clients.items()
            if client.streams
        }
        return {**self._expected.missing, **connected}

    def observe(self, stream: Stream, peer: str = "") -> None:
        """Records that something happened on `stream` from the address `peer`: a request, or a snapshot."""
        if stream.node is None:
            return
        client_id = stream.node.id
        client = self._clients.get(client_id)
        if client is None or stream not in client.streams:
            client = self._connected(stream, client, peer)
        connection = client.streams[stream]
        self.on_change()
        for refusal in stream.take_refusals():
            self._refused(client_id, connection, refusal)
        for progress in stream.progress():
            self._time(connection, progress)
        if stream.unknown_answers:
            if not connection.warned:
                _log.warning("xds client answers responses that were not sent to it", client=client_id)
            connection.warned = True
            client.problem = Reason.of("client.unknown_answers", stream.unknown_answers)
        elif stream.answers:
            client.problem = NOTHING
        for waiter in tuple(self._waiters):
            if client_id in waiter.missing:
                waiter.missing.discard(client_id)
                waiter.unsettled.add(stream)
            if stream in waiter.unsettled:
                self._check(waiter, stream, client_id)

    def refused(self, peer: str, reason: str) -> None:
        """Records that a stream of the address `peer` was refused."""
        before = self._refused_peers.pop(peer, None)
        count = before.count + 1 if before is not None else 1
        self._refused_peers[peer] = RefusedPeer(peer, reason, count, time.time())
        while len(self._refused_peers) > _REFUSED_REMEMBERED:
            self._refused_peers.popitem(last=False)
        if count & (count - 1) == 0:  # log the first, second, fourth, …: one address must not fill the disk
            _log.warning("xds stream refused", peer=peer, reason=reason, times=count)

    def disconnected(self, stream: Stream, *, problem: Reason = NOTHING) -> None:
        """Records that `stream` ended, because of `problem` if it was given up. The client is remembered for a
        while.
        """
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
            self._expected.left(stream.node.id, {progress.type_url for progress in stream.progress()})
            client.last_types = _types(stream, connection)
            client.since = time.time()
            self._clients.move_to_end(stream.node.id)
            _log.info("xds client disconnected", client=stream.node.id)
            self._forget_old()
        self.on_change()
        for waiter in tuple(self._waiters):
            if stream in waiter.unsettled and not client.streams:
                waiter.missing |= self._expected.missing.keys() & {stream.node.id}
            waiter.unsettled.discard(stream)
            waiter.check()

    def clients(self) -> tuple[ClientStatus, ...]:
        """Returns connected and recently disconnected clients by id; an id with several streams has one entry for
        each.
        """
        known = sorted(self._clients.items())
        return tuple(status for client_id, client in known for status in _statuses(client_id, client))

    def recent_rejections(self) -> tuple[Rejection, ...]:
        """Returns the newest rejections first, at most 50."""
        return tuple(reversed(self._rejections))

    def refused_peers(self) -> tuple[RefusedPeer, ...]:
        """Returns the newest refusals first, at most 50 addresses."""
        return tuple(reversed(self._refused_peers.values()))

    def counters(self) -> Counters:
        """Returns the connected streams, and the totals since the start."""
        by_kind: Counter[str] = Counter()
        refusing = 0
        for client in self._clients.values():
            by_kind[client.kind] += len(client.streams)
            refusing += any(_is_refusing(*each) for each in client.streams.items())
        connected = by_kind.total()
        return Counters(connected, self._connects, self._acks, self._nacks, by_kind, refusing)

    async def wait_settled(self, revision: int, timeout: float) -> Propagation:
        """Waits until every client that is connected now has accepted or refused `revision`, at most `timeout`
        seconds.

        A client that disconnected shortly before is waited for until it is no longer expected, which may exceed
        `timeout`.
        """
        streams = {stream: client_id for client_id, client in self._clients.items() for stream in client.streams}
        waiter = _Waiter(revision, tuple(streams), set(self._expected.missing))
        for stream, client_id in streams.items():
            self._check(waiter, stream, client_id)
        waiter.check()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(max(timeout, self._expected.longest)):
                await waiter.done.wait()
        except TimeoutError:
            pass
        finally:
            self._waiters.discard(waiter)
        refused_by = {rejection.client_id for rejection in waiter.rejections}
        waiting_for = {stream.node.id for stream in waiter.unsettled if stream.node is not None} | waiter.missing
        return Propagation(
            revision=revision,
            complete=not waiting_for,
            accepted=len(waiter.accepted - refused_by - waiting_for),
            rejections=tuple(waiter.rejections),
            waiting_for=tuple(sorted(waiting_for)),
        )

    def _connected(self, stream: Stream, client: _Client | None, peer: str) -> _Client:
        node = stream.node
        if node is None:
            raise RuntimeError("a stream is registered once it said who it is")
        if client is None:
            client = self._clients[node.id] = _Client(node.kind, node.software, time.time())
        if not client.streams:
            client.since = time.time()
        client.kind, client.software = node.kind, node.software
        awaited = self._expected.returned(node.id)
        until = time.monotonic() + self._expected.seconds
        client.streams[stream] = _Connection(peer, time.time(), awaited, until)
        self._connects += 1
        _log.info("xds client connected", client=node.id, kind=node.kind, software=node.software)
        return client

    def _refused(self, client_id: str, connection: _Connection, refusal: Nack) -> None:
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
        connection = self._clients[client_id].streams[stream]
        if not stream.settled(waiter.revision) or connection.awaits(stream):
            return
        waiter.unsettled.discard(stream)
        refused = [
            connection.rejections[progress.type_url]
            for progress in stream.progress()
            if progress.refusal is not None and progress.refusal.revision >= waiter.revision
        ]
        waiter.rejections += refused
        if not refused:
            waiter.accepted.add(client_id)
        waiter.check()

    def _forget_old(self) -> None:
        gone = [client_id for client_id, client in self._clients.items() if not client.streams]
        for client_id in gone[:-_DISCONNECTED_REMEMBERED]:
            del self._clients[client_id]


def _statuses(client_id: str, client: _Client) -> list[ClientStatus]:
    if not client.streams:
        return [
            ClientStatus(
                client_id=client_id,
                kind=client.kind,
                software=client.software,
                connected=False,
                since=client.since,
                types=client.last_types,
                problem=client.problem,
            )
        ]
    several = len(client.streams)
    shared = Reason.of("client.shared", several) if several > 1 else NOTHING
    return [
        ClientStatus(
            client_id=client_id,
            kind=stream.node.kind if stream.node else client.kind,
            software=stream.node.software if stream.node else client.software,
            connected=True,
            since=connection.since,
            types=_types(stream, connection),
            problem=client.problem or connection.unanswered() or shared,
            peer=connection.peer,
        )
        for stream, connection in client.streams.items()
    ]


def _is_refusing(stream: Stream, connection: _Connection) -> bool:
    rejections = connection.rejections
    return bool(rejections) and any(
        progress.refusal is not None and progress.type_url in rejections for progress in stream.progress()
    )


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
