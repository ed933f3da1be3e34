"""What delta and state-of-the-world streams have in common: order, one unanswered push per type, and progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass
from itertools import count

from trunkline_proto.xds.v1 import discovery_pb2

from xds_server.protocol.changes import Changes
from xds_server.protocol.encoding import ResponseEncoder
from xds_server.protocol.errors import MissingNodeError
from xds_server.protocol.ordering import may_remove, may_update, rank
from xds_server.protocol.push import Push, Refusal, TypeProgress
from xds_server.protocol.snapshot import CLUSTER, ENDPOINT, Snapshot
from xds_server.protocol.subscription import Subscription

_REVISIONS_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class ClientNode:
    """Who is on the other end, from `Node` of the first request."""

    id: str
    kind: str
    software: str


class Stream(ABC):
    """One connected stream; no I/O.

    The transport calls `on_request` of the subclass and `on_snapshot`, and writes the pushes they return in order.
    """

    def __init__(self, snapshot: Snapshot, encoder: ResponseEncoder) -> None:
        self.node: ClientNode | None = None
        self._snapshot = snapshot
        self._encoder = encoder
        self._subscriptions: dict[str, Subscription] = {}
        self._refusals: list[Refusal] = []
        # Valid on one stream only, so plain numbers will do.
        self._nonces = count(1)
        # Revisions may repeat (live health is not part of the store's), so points in time are numbered here.
        self._sequence = 0
        self._reached: deque[tuple[int, int]] = deque([(snapshot.revision, 0)], maxlen=_REVISIONS_REMEMBERED)
        # Clusters pushed before the client asked for endpoints on this stream: they warm, and wait for those.
        self._warming: set[str] = set()

    @property
    def revision(self) -> int:
        """Of the snapshot that this stream is being brought to."""
        return self._snapshot.revision

    def on_snapshot(self, snapshot: Snapshot, changes: Changes) -> list[Push]:
        """The desired content changed; `changes` is the difference to the snapshot given before."""
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
        """Whether the client took or refused everything up to `revision`, in every type that it subscribes to."""
        if self._snapshot.revision < revision:
            return False
        sequence = next(at for reached, at in self._reached if reached >= revision)
        return all(subscription.settled(sequence) for subscription in self._subscriptions.values())

    def progress(self) -> tuple[TypeProgress, ...]:
        """Per type, in push order."""
        return tuple(subscription.progress() for subscription in self._subscriptions.values())

    def take_refusals(self) -> Sequence[Refusal]:
        """The NACKs since the last call."""
        refusals, self._refusals = self._refusals, []
        return refusals

    def _introduce(self, node: discovery_pb2.Node) -> None:
        if self.node is not None:
            return
        if not node.id:
            raise MissingNodeError
        self.node = ClientNode(node.id, node.cluster, _software(node))

    def _subscription(self, type_url: str) -> tuple[Subscription, bool]:
        """The subscription, and whether this is the stream's first request for the type."""
        subscription = self._subscriptions.get(type_url)
        if subscription is not None:
            return subscription, False
        subscription = self._new_subscription(type_url)
        self._subscriptions[type_url] = subscription
        self._subscriptions = dict(sorted(self._subscriptions.items(), key=lambda item: rank(item[0])))
        return subscription, True

    def _answered(
        self,
        subscription: Subscription,
        request: discovery_pb2.DeltaDiscoveryRequest | discovery_pb2.DiscoveryRequest,
    ) -> bool:
        """Takes the ACK or NACK that `request` may be; true for an ACK."""
        if subscription.pending is None or subscription.pending.push.nonce != request.response_nonce:
            return False
        if not request.HasField("error_detail"):
            subscription.accepted()
            return True
        error = request.error_detail
        reason = error.message or f"no reason given (code {error.code})"
        resources = self._snapshot.of_type(subscription.type_url)
        self._refusals.append(subscription.refused(reason, resources, self._sequence))
        return False

    def _pump(self) -> list[Push]:
        pushes: list[Push] = []
        for subscription in self._subscriptions.values():
            if subscription.updates and self._may(may_update, subscription):
                pushes.append(self._update(subscription, str(next(self._nonces))))
                if subscription.type_url == CLUSTER:
                    self._warm(pushes[-1].names)
        for subscription in reversed(self._subscriptions.values()):
            if subscription.removals and self._may(may_remove, subscription):
                pushes += [self._remove(subscription, str(next(self._nonces)))]
        for subscription in self._subscriptions.values():
            subscription.keep_up(self._snapshot.revision)
        return pushes

    def _may(self, rule: Callable[[Subscription, Mapping[str, Subscription]], bool], which: Subscription) -> bool:
        return which.pending is None and rule(which, self._subscriptions)

    def _warm(self, clusters: Iterable[str]) -> None:
        """Changed clusters warm until their endpoints arrive again. An assignment has its cluster's name."""
        endpoints = self._subscriptions.get(ENDPOINT)
        if endpoints is None:
            self._warming.update(clusters)
        else:
            self._send_endpoints_again(endpoints, clusters)

    def _first_request(self, subscription: Subscription) -> None:
        """A type was subscribed to: endpoints are owed for clusters that were pushed before."""
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
        """Takes the subscription's updates into a push."""

    @abstractmethod
    def _remove(self, subscription: Subscription, nonce: str) -> Push:
        """Takes the subscription's removals into a push."""


def _software(node: discovery_pb2.Node) -> str:
    """Name and version, as far as the client told them."""
    version = node.user_agent_version
    if node.HasField("user_agent_build_version"):
        build = node.user_agent_build_version.version
        version = f"{build.major_number}.{build.minor_number}.{build.patch}"
    return f"{node.user_agent_name} {version}".strip()
