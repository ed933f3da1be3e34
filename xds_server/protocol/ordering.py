"""Make before break (xDS protocol, "Eventual consistency considerations"): what waits for what on one stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xds_server.protocol.snapshot import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    POLICY_KEY,
    POLICY_ORGANISATION,
    POLICY_ROUTE,
    PUSH_ORDER,
    ROUTE,
    SECRET,
)
from xds_server.protocol.subscription import Subscription

# EDS waits for nothing: a client acknowledges a warming cluster only once its endpoints are there.
_AFTER_SENT: Mapping[str, Sequence[str]] = {
    CLUSTER: (SECRET,),
    LISTENER: (SECRET, CLUSTER, ENDPOINT),
    ROUTE: (LISTENER,),
    POLICY_KEY: (POLICY_ORGANISATION,),
    POLICY_ROUTE: (POLICY_ORGANISATION, POLICY_KEY),
}
_AFTER_ANSWERED: Mapping[str, Sequence[str]] = {ROUTE: (CLUSTER, ENDPOINT)}

_RANK = {type_url: rank for rank, type_url in enumerate(PUSH_ORDER)}


def rank(type_url: str) -> tuple[int, str]:
    """Sorts type URLs into the order of additions; types we do not know come last."""
    return _RANK.get(type_url, len(_RANK)), type_url


def may_update(subscription: Subscription, subscriptions: Mapping[str, Subscription]) -> bool:
    """Whether the additions and updates of a type may go now.

    They wait only for changes at least as old as themselves: endpoints that flap all the time hold up no route.
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
    """Whether removals may go: not before every addition and update up to theirs is answered."""
    at = subscription.removals.at
    return not any(other.unsent(at) or other.unanswered(at) for other in subscriptions.values())
