"""Implements state-of-the-world xDS: the client names everything it wants in every request.

Responses of CDS and LDS (and of Trunkline's own types) carry the whole set. Those of EDS and RDS carry only what
changed, which the protocol allows ("Grouping Resources into Responses"). `version_info` is the version of the
whole set in both cases, so a client that presents it after a restart of the server is sent nothing.

A client that returns to the same server and requests resources by name is sent all of them. It may have dropped a
name and requested it again before its stream ended, and its version, that of the whole set, does not show this.
"""

from __future__ import annotations

from trunkline_proto.xds.v1 import discovery_pb2

from xds_server.protocol.encoding import ResponseEncoder, set_version
from xds_server.protocol.interest import WILDCARD
from xds_server.protocol.push import Push
from xds_server.protocol.returning import ReturningClients
from xds_server.protocol.snapshot import WILDCARD_TYPES, Resource, ResourceSnapshot
from xds_server.protocol.stream import Stream
from xds_server.protocol.subscription import Subscription


class SotwStream(Stream):
    """One stream of `StreamAggregatedResources`; the streams of one server share `returning`."""

    def __init__(
        self,
        snapshot: ResourceSnapshot,
        encoder: ResponseEncoder,
        *,
        secret: bytes = b"",
        returning: ReturningClients | None = None,
    ) -> None:
        super().__init__(snapshot, encoder, secret=secret)
        self._returning = returning or ReturningClients()
        # What the client accepted of full-state types, and what it has not answered. A cluster whose removal is
        # held back stays in the set, in the form that the client accepted.
        self._kept: dict[str, dict[str, Resource]] = {}
        self._in_flight: dict[str, dict[str, Resource]] = {}

    def on_request(self, request: discovery_pb2.DiscoveryRequest) -> list[Push]:
        """Handles a first request, an ACK, a NACK or a new list of names.

        A request with a stale nonce is ignored: the client answers the newer response too, with the same names.

        Raises:
            MissingNodeError: the stream's first request does not name its node.
            MissingTypeError, BoundsError, UnknownAnswersError: see `errors`.
        """
        self._introduce(request.node)
        subscription, first = self._subscription(request.type_url)
        if not first and request.response_nonce != subscription.last_nonce:
            self._check_nonce(request.response_nonce)
            return []
        if not first and self._answered(subscription, request) and subscription.full_state:
            self._kept[subscription.type_url] = self._in_flight[subscription.type_url]
        self._change_interest(subscription, request, first=first)
        return self._pump()

    def _change_interest(
        self, subscription: Subscription, request: discovery_pb2.DiscoveryRequest, *, first: bool
    ) -> None:
        interest = subscription.interest
        before = interest.wildcard, interest.named
        new = interest.replace(request.resource_names)
        subscription.require_bounds()
        if not first and before == (interest.wildcard, interest.named):
            return
        wanted = self._wanted(subscription)
        held_already = first and bool(request.version_info) and request.version_info == set_version(wanted)
        if first and not interest.wildcard and self.node is not None:
            held_already &= not self._returning.note(self.node.id, subscription.type_url)
        if held_already:
            subscription.held = {each.name: each.version for each in wanted}
            self._kept[subscription.type_url] = _by_name(wanted)
        elif new:
            subscription.forced |= new - {WILDCARD}
            if subscription.full_state:
                subscription.updates.owe(self._sequence)
        touched = subscription.known_names() | new - {WILDCARD} | {each.name for each in wanted}
        subscription.refresh(touched, self._snapshot.of_type(subscription.type_url), self._sequence)
        if first:
            self._first_request(subscription)

    def _new_subscription(self, type_url: str) -> Subscription:
        full_state = type_url in WILDCARD_TYPES
        return Subscription(type_url, reports_absence=False, reports_removal=full_state, full_state=full_state)

    def _wanted(self, subscription: Subscription) -> list[Resource]:
        resources = self._snapshot.of_type(subscription.type_url)
        if subscription.interest.wildcard:
            return list(resources.values())
        return [resources[name] for name in subscription.interest.named if name in resources]

    def _update(self, subscription: Subscription, nonce: str) -> Push:
        names = tuple(sorted(subscription.updates.names))
        complete = self._wanted(subscription)
        if subscription.full_state:
            kept = self._kept.get(subscription.type_url, {})
            complete += [kept[name] for name in subscription.removals.names if name in kept]
            return self._push(subscription, nonce, complete, complete, names=names)
        changed = [each for each in complete if each.name in subscription.updates.names]
        # The version must not cover what the client refused: it would return with that version and be sent
        # nothing.
        refused = subscription.refused_names() - subscription.updates.names
        complete = [each for each in complete if each.name not in refused]
        return self._push(subscription, nonce, changed, complete, names=names)

    def _remove(self, subscription: Subscription, nonce: str) -> Push:
        complete = self._wanted(subscription)
        removed = tuple(sorted(subscription.removals.names))
        return self._push(subscription, nonce, complete, complete, removed=removed)

    def _push(
        self,
        subscription: Subscription,
        nonce: str,
        sent: list[Resource],
        complete: list[Resource],
        *,
        names: tuple[str, ...] = (),
        removed: tuple[str, ...] = (),
    ) -> Push:
        if subscription.full_state:
            self._in_flight[subscription.type_url] = _by_name(complete)
        shared, own = self._encoder.sotw(subscription.type_url, sent, version=set_version(complete), nonce=nonce)
        push = Push(subscription.type_url, nonce, shared, own, names, removed, self._snapshot.revision)
        subscription.sent(push, {each.name: each.version for each in sent}, removal=bool(removed))
        return push


def _by_name(resources: list[Resource]) -> dict[str, Resource]:
    return {each.name: each for each in resources}
