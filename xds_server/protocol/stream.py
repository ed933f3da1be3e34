"""The parts that delta and state-of-the-world streams share: order, one unanswered push per type, and progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass

from trunkline_proto.xds.v1 import discovery_pb2

from xds_server.protocol.bounds import MAX_REASON, MAX_TEXT_BYTES, MAX_TYPES, MAX_UNKNOWN_ANSWERS, ResponseBounds
from xds_server.protocol.changes import Changes
from xds_server.protocol.encoding import ResponseEncoder
from xds_server.protocol.errors import BoundsError, MissingNodeError, MissingTypeError, UnknownAnswersError
from xds_server.protocol.nonces import Nonces
from xds_server.protocol.ordering import may_remove, may_update, rank
from xds_server.protocol.push import Nack, Push, TypeProgress
from xds_server.protocol.snapshot import CLUSTER, ENDPOINT, LAST_OF_POLICY, Resource, ResourceSnapshot
from xds_server.protocol.subscription import Backlog, Subscription

_REVISIONS_REMEMBERED = 64
#: Types that are sent as a whole to a client that answers.
_WHOLE = frozenset({LAST_OF_POLICY})
#: Bytes of a resource in a response in addition to its name and body: tags, lengths, version, type.
_OVERHEAD = 160


@dataclass(frozen=True, slots=True)
class ClientNode:
    """The client of a stream, from `Node` of the first request."""

    id: str
    kind: str
    software: str


class Stream(ABC):
    """One connected stream; no I/O.

    The transport calls `on_request` of the subclass and `on_snapshot`, and writes the pushes that they return, in
    order. There is at most one unanswered push per type. Only a client that has read a push can answer it, because
    `secret` makes nonces unguessable. So no more than one push per type waits for a client that does not read,
    whatever it sends.
    """

    def __init__(
        self,
        snapshot: ResourceSnapshot,
        encoder: ResponseEncoder,
        *,
        secret: bytes = b"",
        portions: ResponseBounds | None = None,
    ) -> None:
        self.node: ClientNode | None = None
        #: True once the client has answered a push of this stream.
        self.answers = False
        #: Answers to pushes that were never sent on this stream.
        self.unknown_answers = 0
        self._snapshot = snapshot
        self._encoder = encoder
        self._subscriptions: dict[str, Subscription] = {}
        self._refusals: list[Nack] = []
        self._nonces = Nonces(secret)
        self._portions = portions or ResponseBounds()
        # Revisions may repeat (live health is not part of the store's), so this numbers points in time.
        self._sequence = 0
        self._reached: deque[tuple[int, int]] = deque([(snapshot.revision, 0)], maxlen=_REVISIONS_REMEMBERED)
        # Clusters pushed before the client requested endpoints on this stream: they warm until their endpoints
        # arrive.
        self._warming: set[str] = set()

    @property
    def revision(self) -> int:
        """Returns the revision of the snapshot that this stream is being brought to."""
        return self._snapshot.revision

    def on_snapshot(self, snapshot: ResourceSnapshot, changes: Changes) -> list[Push]:
        """Takes new desired content; `changes` is the difference from the previous snapshot."""
        self._sequence += 1
        if snapshot.revision != self._snapshot.revision:
            self._reached.append((snapshot.revision, self._sequence))
        self._snapshot = snapshot
        for type_url, names in changes.items():
            subscription = self._subscriptions.get(type_url)
            if subscription is not None:
                subscription.note_changes(names, snapshot.of_type(type_url), self._sequence)
        return self._pump()

    def settled(self, revision: int) -> bool:
        """Returns whether the client accepted or refused everything up to `revision`, in every type that it
        subscribes to.
        """
        if self._snapshot.revision < revision:
            return False
        sequence = next(at for reached, at in self._reached if reached >= revision)
        return all(subscription.settled(sequence) for subscription in self._subscriptions.values())

    def progress(self) -> tuple[TypeProgress, ...]:
        """Returns the progress of each type, in push order."""
        return tuple(subscription.progress() for subscription in self._subscriptions.values())

    def take_refusals(self) -> Sequence[Nack]:
        """Returns the NACKs since the last call."""
        refusals, self._refusals = self._refusals, []
        return refusals

    def _introduce(self, node: discovery_pb2.Node) -> None:
        if self.node is not None:
            return
        if not node.id:
            raise MissingNodeError
        software = _software(node)
        for field, value in (("id", node.id), ("cluster", node.cluster), ("user_agent_name", software)):
            if len(value.encode()) > MAX_TEXT_BYTES:
                raise BoundsError(
                    f"node.{field}: {len(value.encode()):,} bytes; accepted: at most {MAX_TEXT_BYTES}"
                )
        self.node = ClientNode(node.id, node.cluster, software)

    def _subscription(self, type_url: str) -> tuple[Subscription, bool]:
        """Returns the subscription, and whether this is the stream's first request for the type.

        Raises MissingTypeError, BoundsError.
        """
        subscription = self._subscriptions.get(type_url)
        if subscription is not None:
            return subscription, False
        if not type_url:
            raise MissingTypeError
        if len(self._subscriptions) >= MAX_TYPES or len(type_url.encode()) > MAX_TEXT_BYTES:
            raise BoundsError(
                f"type_url: accepted on one stream: {MAX_TYPES} types with names of {MAX_TEXT_BYTES} bytes"
            )
        subscription = self._new_subscription(type_url)
        self._subscriptions[type_url] = subscription
        self._subscriptions = dict(sorted(self._subscriptions.items(), key=lambda item: rank(item[0])))
        return subscription, True

    def _answered(
        self,
        subscription: Subscription,
        request: discovery_pb2.DeltaDiscoveryRequest | discovery_pb2.DiscoveryRequest,
    ) -> bool:
        """Handles the ACK or NACK that `request` may be; returns True for an ACK. Raises UnknownAnswersError."""
        if subscription.pending is None or subscription.pending.push.nonce != request.response_nonce:
            self._check_nonce(request.response_nonce)
            return False
        self.answers = True
        if not request.HasField("error_detail"):
            subscription.accepted()
            return True
        error = request.error_detail
        reason = error.message[:MAX_REASON] or f"no reason given (code {error.code})"
        resources = self._snapshot.of_type(subscription.type_url)
        self._refusals.append(subscription.refused(reason, resources, self._sequence))
        return False

    def _check_nonce(self, nonce: str) -> None:
        """Counts an answer to a response that was never sent here. Raises UnknownAnswersError if there are too
        many.
        """
        if nonce and not self._nonces.issued(nonce):
            self.unknown_answers += 1
            if self.unknown_answers > MAX_UNKNOWN_ANSWERS:
                raise UnknownAnswersError(self.unknown_answers)

    def _pump(self) -> list[Push]:
        pushes: list[Push] = []
        for subscription in self._subscriptions.values():
            if subscription.updates and self._may(may_update, subscription) and not self._postponed(subscription):
                pushes.append(self._update(subscription, self._nonces.next()))
                if subscription.type_url == CLUSTER:
                    self._warm(pushes[-1].names)
        for subscription in reversed(self._subscriptions.values()):
            if subscription.removals and self._may(may_remove, subscription):
                pushes += [self._remove(subscription, self._nonces.next())]
        for subscription in self._subscriptions.values():
            subscription.keep_up(self._snapshot.revision)
        return pushes

    def _may(self, rule: Callable[[Subscription, Mapping[str, Subscription]], bool], which: Subscription) -> bool:
        return which.pending is None and rule(which, self._subscriptions)

    def _postponed(self, subscription: Subscription) -> bool:
        """Returns whether a type that is sent as a whole still waits for the client's first answer."""
        if self.answers or subscription.type_url not in _WHOLE:
            return False
        if not any(each.pending for each in self._subscriptions.values()):
            return False
        resources = self._snapshot.of_type(subscription.type_url)
        return sum(_size(name, resources) for name in subscription.updates.names) > self._portions.first

    def _portion(self, subscription: Subscription, backlog: Backlog) -> list[str]:
        """Returns the names of a backlog that fit into the next response, at least one."""
        if self.answers and subscription.type_url in _WHOLE:
            return list(backlog.ordered())
        room = self._portions.later if self.answers else self._portions.first
        resources = self._snapshot.of_type(subscription.type_url)
        names: list[str] = []
        for name in backlog.ordered():
            room -= _size(name, resources)
            if room < 0 and names:
                break
            names.append(name)
        return names

    def _warm(self, clusters: Iterable[str]) -> None:
        """Marks changed clusters: they warm until their endpoints are sent again. An assignment has its cluster's
        name.
        """
        endpoints = self._subscriptions.get(ENDPOINT)
        if endpoints is None:
            self._warming.update(clusters)
        else:
            self._send_endpoints_again(endpoints, clusters)

    def _first_request(self, subscription: Subscription) -> None:
        """Handles the subscription to a type: endpoints are due for clusters that were pushed before."""
        if subscription.type_url == ENDPOINT:
            self._send_endpoints_again(subscription, self._warming)
            self._warming = set()

    def _send_endpoints_again(self, endpoints: Subscription, clusters: Iterable[str]) -> None:
        there = self._snapshot.of_type(ENDPOINT)
        interest = endpoints.interest
        again: AbstractSet[str] = {
            name for name in clusters if name in interest.named or (interest.wildcard and name in there)
        }
        endpoints.force(again, there, self._sequence)

    @abstractmethod
    def _new_subscription(self, type_url: str) -> Subscription: ...

    @abstractmethod
    def _update(self, subscription: Subscription, nonce: str) -> Push:
        """Moves the subscription's updates into a push."""

    @abstractmethod
    def _remove(self, subscription: Subscription, nonce: str) -> Push:
        """Moves the subscription's removals into a push."""


def _size(name: str, resources: Mapping[str, Resource]) -> int:
    """Returns about how many bytes of a response a resource takes, or a name that is reported as nonexistent."""
    resource = resources.get(name)
    return len(name) + _OVERHEAD + (len(resource.body) if resource is not None else 0)


def _software(node: discovery_pb2.Node) -> str:
    """Returns the name and version of the client's software, as far as the client sent them."""
    version = node.user_agent_version
    if node.HasField("user_agent_build_version"):
        build = node.user_agent_build_version.version
        version = f"{build.major_number}.{build.minor_number}.{build.patch}"
    return f"{node.user_agent_name} {version}".strip()
