"""Decides when a node may stop taking requests to measure its owner's use: one of a pool at a time. No I/O and no
clock.

Some nodes can determine their owner's use of the GPU only while no request runs; they ask for such a time in their
reports. A node gets it if every pool that it is in has another healthy node, or if the routes of the model also go
to providers. Until then the node keeps serving.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from xds_server.model import DesiredState, NodesTarget, Privacy
from xds_server.pool import Pool

#: Seconds for which a grant holds: the sidecar gives up after 30 s, and its reports take a moment.
GRANT = 40.0
#: Seconds until the same node gets another grant, so that each node of a pool has its turn.
_PAUSE = 60.0


class MeasurementGrants:
    """The grants. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._granted: dict[str, float] = {}
        self._not_before: dict[str, float] = {}

    def granted(self, node_id: str, now: float) -> bool:
        """Returns whether the node may measure at `now`, in monotonic seconds."""
        return self._granted.get(node_id, 0.0) > now

    def decide(
        self,
        node_id: str,
        *,
        wanted: bool,
        pools: Collection[Pool],
        rivals: Iterable[str],
        backed: Collection[str],
        now: float,
    ) -> bool:
        """Returns whether the node should measure now.

        `pools` are those that it is in, `rivals` the nodes with one of its models, `backed` the result of
        `backed_models`.
        """
        if not wanted:
            self._granted.pop(node_id, None)
            return False
        if self.granted(node_id, now):
            return True
        if now < self._not_before.get(node_id, 0.0) or any(self.granted(each, now) for each in rivals):
            return False
        if not all(pool.model in backed or _has_another(pool, node_id) for pool in pools):
            return False
        self._granted[node_id], self._not_before[node_id] = now + GRANT, now + GRANT + _PAUSE
        return True

    def forget(self, node_id: str) -> None:
        """Forgets a node that was removed."""
        self._granted.pop(node_id, None)
        self._not_before.pop(node_id, None)


def _has_another(pool: Pool, node_id: str) -> bool:
    return any(each.health == "healthy" for each in pool.endpoints if each.node_id != node_id)


def backed_models(state: DesiredState) -> frozenset[str]:
    """Returns the nodes' models whose every route has a provider that serves when no node does."""
    backed: dict[str, bool] = {}
    for route in state.routes.values():
        models = [target.model for target in route.targets if isinstance(target, NodesTarget)]
        has_provider = route.privacy is not Privacy.OWN_NODES and len(models) < len(route.targets)
        for model in models:
            backed[model] = backed.get(model, True) and has_provider
    return frozenset(model for model, has_provider in backed.items() if has_provider)
