"""Orders updates on one stream: make before break (xDS protocol, "Eventual consistency considerations")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xds_server.protocol.snapshot import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    POLICY_JWT_ISSUER,
    POLICY_KEY,
    POLICY_ORGANISATION,
    POLICY_ROUTE,
    PUSH_ORDER,
    ROUTE,
    SECRET,
)
from xds_server.protocol.subscription import Subscription

# EDS waits for nothing: a client acknowledges a warming cluster only after its endpoints have arrived.
_AFTER_SENT: Mapping[str, Sequence[str]] = {
    CLUSTER: (SECRET,),
    LISTENER: (SECRET, CLUSTER, ENDPOINT),
    ROUTE: (LISTENER,),
    POLICY_KEY: (POLICY_ORGANISATION,),
    POLICY_JWT_ISSUER: (POLICY_ORGANISATION, POLICY_KEY),
    POLICY_ROUTE: (POLICY_ORGANISATION, POLICY_KEY, POLICY_JWT_ISSUER),
}
_AFTER_ANSWERED: Mapping[str, Sequence[str]] = {ROUTE: (CLUSTER, ENDPOINT)}

_RANK = {type_url: rank for rank, type_url in enumerate(PUSH_ORDER)}


def rank(type_url: str) -> tuple[int, str]:
    """Sorts type URLs into the order of additions; unknown types come last."""
    return _RANK.get(type_url, len(_RANK)), type_url


def may_update(subscription: Subscription, subscriptions: Mapping[str, Subscription]) -> bool:
    """Returns whether the additions and updates of a type may be sent now.

    They wait only for changes that are at least as old as themselves: endpoints that flap all the time delay no
    route.
    """
    at = subscription.updates.at
    for earlier in _AFTER_SENT.get(subscription.type_url, ()):
        other = subscriptions.get(earlier)
        if other is not None and other.unsent(at):
            return False
    for earlier in _AFTER_ANSWERED.get(subscription.type_url, ()):
        other = subscriptions.get(earlier)
        if other is not None and (other.unsent(at) or other.unanswered(at)):
            return False
    return True


def may_remove(subscription: Subscription, subscriptions: Mapping[str, Subscription]) -> bool:
    """Returns whether removals may be sent: only after every addition and update up to theirs is answered."""
    at = subscription.removals.at
    return not any(other.unsent(at) or other.unanswered(at) for other in subscriptions.values())
