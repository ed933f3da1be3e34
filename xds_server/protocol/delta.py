"""Implements incremental xDS (xDS protocol, "Incremental xDS"): changes by name."""

from __future__ import annotations

from trunkline_proto.xds.v1 import discovery_pb2

from xds_server.protocol.interest import WILDCARD
from xds_server.protocol.push import Push
from xds_server.protocol.snapshot import LAST_OF_POLICY
from xds_server.protocol.stream import Stream
from xds_server.protocol.subscription import Subscription


class DeltaStream(Stream):
    """One stream of `DeltaAggregatedResources`."""

    def on_request(self, request: discovery_pb2.DeltaDiscoveryRequest) -> list[Push]:
        """Handles an ACK or NACK, a change of the subscription, or both at once.

        Raises:
            MissingNodeError: the stream's first request does not name its node.
            MissingTypeError, BoundsError, UnknownAnswersError: see `errors`.
        """
        self._introduce(request.node)
        subscription, first = self._subscription(request.type_url)
        if not first:
            self._answered(subscription, request)
        # A stale nonce does not invalidate a subscription change ("... even if the nonce is stale").
        self._change_interest(subscription, request, first=first)
        return self._pump()

    def _change_interest(
        self, subscription: Subscription, request: discovery_pb2.DeltaDiscoveryRequest, *, first: bool
    ) -> None:
        interest = subscription.interest
        subscribe = frozenset(request.resource_names_subscribe)
        unsubscribe = frozenset(request.resource_names_unsubscribe)
        if not (first or subscribe or unsubscribe):
            return
        resources = self._snapshot.of_type(subscription.type_url)
        if first:
            subscription.held.update(request.initial_resource_versions)
        was_wildcard = interest.wildcard
        gone = interest.change(subscribe, unsubscribe)
        subscription.require_bounds(len(request.initial_resource_versions))
        touched = (subscribe | gone) - {WILDCARD}
        # A name that is requested again is sent again, unless a reconnecting client says that it holds the
        # resource.
        again = subscribe - {WILDCARD}
        if first:
            again -= subscription.held.keys()
        if interest.wildcard:
            # "... the server must send a response that includes the specific resource".
            again |= gone
        subscription.forced |= again
        if first or interest.wildcard != was_wildcard:
            touched |= subscription.known_names()
            if interest.wildcard:
                touched |= resources.keys()
        if interest.wildcard and not was_wildcard and (not subscription.held or self._confirms(subscription)):
            subscription.updates.owe(self._sequence)
        subscription.refresh(touched, resources, self._sequence)
        if first:
            self._first_request(subscription)

    def _confirms(self, subscription: Subscription) -> bool:
        """Returns whether a client that holds everything gets an empty response, which confirms that it is up to
        date.
        """
        return subscription.type_url == LAST_OF_POLICY

    def _new_subscription(self, type_url: str) -> Subscription:
        return Subscription(type_url, reports_absence=True, reports_removal=True, full_state=False)

    def _update(self, subscription: Subscription, nonce: str) -> Push:
        resources = self._snapshot.of_type(subscription.type_url)
        names = self._portion(subscription, subscription.updates)
        found = [resources[name] for name in names if name in resources]
        absent = tuple(name for name in names if name not in resources)
        shared, own = self._encoder.delta(
            subscription.type_url, found, absent, nonce=nonce, revision=self._snapshot.revision
        )
        names_found = tuple(each.name for each in found)
        push = Push(subscription.type_url, nonce, shared, own, names_found, absent, self._snapshot.revision)
        subscription.sent(push, {each.name: each.version for each in found}, removal=False, taken=names)
        return push

    def _remove(self, subscription: Subscription, nonce: str) -> Push:
        removed = tuple(self._portion(subscription, subscription.removals))
        shared, own = self._encoder.delta(
            subscription.type_url, (), removed, nonce=nonce, revision=self._snapshot.revision
        )
        push = Push(subscription.type_url, nonce, shared, own, (), removed, self._snapshot.revision)
        subscription.sent(push, {}, removal=True, taken=removed)
        return push
