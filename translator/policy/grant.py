"""Precomputes the decisions about requests of one key through one route that depend on the policy alone.

The policy changes rarely and requests arrive all the time. So everything that depends only on the policy is
computed once, at the first request after a change. A plain request then looks up its grant, reads its body and
reserves, without checking features that are not configured for its key or route.
"""

from __future__ import annotations

from dataclasses import dataclass

from translator import log_context
from translator.cache.key import Requester
from translator.limits import Applicable, HolderLimit, Metric
from translator.policy.objects import PolicyKey, PolicyRoute


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """The precomputed decisions for one key and route.

    `account` is where Envoy's module counts the request's body. `variant` is where Envoy finds the route, and
    `stream_variant` the same for streams. `parties` are the words of the log context that say who asks for what. A
    `guarded` request may not fit a target, or may cost too much. `applicable` are the limits that a request counts
    in, and `applicable_if_cached` those of a request that gets a cached answer, which does not run and takes no
    concurrent place.
    """

    organisation_id: str
    key_id: str
    account: str
    requester: Requester
    route: PolicyRoute
    variant: str
    stream_variant: str
    parties: str
    guarded: bool
    applicable: Applicable
    applicable_if_cached: Applicable

    @classmethod
    def of(cls, key: PolicyKey, route: PolicyRoute, limits: tuple[HolderLimit, ...]) -> Grant:
        """Computes what does not depend on a single request, once for each key and route."""
        variant, applicable = route.variant(key), Applicable.of(limits)
        lasting = tuple(limit for limit in limits if limit.metric is not Metric.CONCURRENCY)
        return cls(
            key.organisation_id,
            key.id,
            key.account,
            Requester(key.organisation_id, key.id, route.id),
            route,
            variant,
            f"{variant}:stream",
            log_context.parties(key.organisation_id, key.id, route.id, route.shown),
            bool(route.bounded or key.max_price),
            applicable,
            Applicable.of(lasting) if applicable.concurrent else applicable,
        )
