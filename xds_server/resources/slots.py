"""Reports how many requests the machines of a route run at once, so that translators can queue the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from trunkline_proto.policy.v1 import policy_pb2

from xds_server.model import NodesTarget, Privacy, Route
from xds_server.pool import Pool, PoolEndpoint, pool_name

#: The slots of a machine without a limit, and the most that a pool has.
UNLIMITED = 2**32 - 1


def waits_for_machines(route: Route) -> bool:
    """Returns whether a route's requests wait while all its machines are busy: it has a queue, and no other
    targets.
    """
    return bool(route.queue_longest_ms) and all(isinstance(target, NodesTarget) for target in route.targets)


def slots(route: Route, pools: Iterable[Pool], live: Mapping[str, Pool]) -> tuple[policy_pb2.PoolSlots, ...]:
    """Returns the slots by model and audience, of those of `pools` that the route may use, as they are `live`.

    A machine that everybody may use counts only there, even if its owner's audience has it as its own, unless the
    route goes to own machines only.
    """
    found: Counter[tuple[str, str]] = Counter()
    models = {target.model for target in route.targets if isinstance(target, NodesTarget)}
    own_only = route.privacy is Privacy.OWN_NODES
    for pool in pools:
        if pool.model not in models or (own_only and not pool.audience):
            continue
        everybodys = set() if own_only or not pool.audience else set(map(_id, _healthy(live, pool.model)))
        for endpoint in _healthy(live, pool.model, pool.audience):
            if endpoint.node_id not in everybodys:
                found[pool.model, pool.audience] += endpoint.slots or UNLIMITED
    return tuple(
        policy_pb2.PoolSlots(model=model, audience=audience, slots=min(number, UNLIMITED))
        for (model, audience), number in sorted(found.items())
    )


def _healthy(live: Mapping[str, Pool], model: str, audience: str = "") -> list[PoolEndpoint]:
    pool = live.get(pool_name(model, audience))
    return [each for each in pool.endpoints if each.health == "healthy"] if pool is not None else []


def _id(endpoint: PoolEndpoint) -> str:
    return endpoint.node_id
