"""Determines which audiences get a route variant of their own because of own machines, and the pools for it. See
docs/nodes.md.

Everything here follows from the desired state: what nodes report changes endpoints, never routes or clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from xds_server.model import DesiredState, Key, Node, NodesTarget, Privacy, Route
from xds_server.pool import Pool


@dataclass(frozen=True, slots=True)
class Audiences:
    """The ids of organisations and keys that own approved nodes; keys come with their organisation."""

    organisations: frozenset[str]
    keys: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, nodes: Iterable[Node], keys: Mapping[str, Key]) -> Audiences:
        """Collects the owners. A key counts regardless of the visibility of its nodes: their owner may keep them
        private for a while.
        """
        approved = [node for node in nodes if node.approved]
        owners = {node.owner_key_id for node in approved if node.owner_key_id in keys}
        return cls(
            frozenset(node.organisation_id for node in approved),
            tuple(sorted((owner, keys[owner].organisation_id) for owner in owners)),
        )

    def owners(self, audience: str) -> tuple[str, ...]:
        """Returns the owners whose machines the audience counts as its own, closest first: a key's, then its
        organisation's.
        """
        organisation = dict(self.keys).get(audience)
        return tuple(each for each in (audience, organisation) if each)

    def of_route(self, route: Route) -> tuple[str, ...]:
        """Returns the audiences that may use the route and for which its nodes differ from everybody's."""
        if not may_have(route):
            return ()
        owner = route.organisation_id
        ids = [each for each in self.organisations if owner in {"", each}]
        ids += [key for key, organisation in self.keys if owner in {"", organisation}]
        return tuple(sorted(ids))


def may_have(route: Route) -> bool:
    """Returns whether nodes can make a difference to the route at all."""
    return any(isinstance(target, NodesTarget) for target in route.targets)


def pools(state: DesiredState) -> dict[str, Pool]:
    """Returns every pool that a route may lead to, by name and empty; live state fills them."""
    audiences = Audiences.of(state.nodes.values(), state.keys)
    result: dict[str, Pool] = {}
    for route in state.routes.values():
        private = route.privacy is Privacy.OWN_NODES
        models = {target.model for target in route.targets if isinstance(target, NodesTarget)}
        owners = {owner for audience in audiences.of_route(route) for owner in audiences.owners(audience)}
        for owner in owners if private else owners | {""}:
            for model in models:
                pool = Pool(model, audience=owner)
                result[pool.name] = pool
    return dict(sorted(result.items()))
