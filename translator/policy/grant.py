"""What is decided about the requests of one key through one route before any of them comes.

The policy changes seldom and requests come all the time, so what depends on the policy alone is decided once, at
the first request after a change: a plain request then looks up its grant, reads its body and reserves. What is not
configured for the key or the route is not asked about again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from translator import log_context
from translator.limits import Applicable, Limit, Metric

if TYPE_CHECKING:
    from translator.policy.index import Key, Route


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """`variant` is where Envoy finds the route, and `stream_variant` the same for streams. `parties` are the words
    of the log context that say who asks for what. A `guarded` request may not fit a target, or cost too much.

    `applicable` are the limits that a request counts in, and `applicable_if_cached` those of one that gets a
    cached answer: it runs nowhere, and takes no place of the concurrent ones.
    """

    organisation_id: str
    key_id: str
    route: Route
    variant: str
    stream_variant: str
    parties: str
    guarded: bool
    applicable: Applicable
    applicable_if_cached: Applicable

    @classmethod
    def of(cls, key: Key, route: Route, limits: tuple[Limit, ...]) -> Grant:
        variant, applicable = route.variant(key), Applicable.of(limits)
        lasting = tuple(limit for limit in limits if limit.metric is not Metric.CONCURRENCY)
        return cls(
            key.organisation_id,
            key.id,
            route,
            variant,
            f"{variant}:stream",
            log_context.parties(key.organisation_id, key.id, route.id, route.shown),
            bool(route.bounded or key.max_price),
            applicable,
            Applicable.of(lasting) if applicable.concurrent else applicable,
        )
