"""Decides who may use which node: the pools of one model, as docs/nodes.md states them.

An *audience* is the side that asks: an organisation that owns nodes, or a key that owns nodes. Each node is in its
owner's pool: its owner's key's while the node is private to that key, otherwise its organisation's. A community
node is in everybody's pool too. A route's plan goes through the pools of its audience one after another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from xds_server.model import Node, Visibility
from xds_server.pool import Pool, PoolEndpoint, pool_name


@dataclass(frozen=True, slots=True)
class Audience:
    """The callers that a pool serves. `key_id` is empty for the organisation's own audience."""

    organisation_id: str
    key_id: str = ""

    @property
    def id(self) -> str:
        """The id of the key or organisation; empty for everybody."""
        return self.key_id or self.organisation_id


@dataclass(frozen=True, slots=True)
class Member:
    """An approved node that offers the model, with the visibility in force at the moment.

    `endpoint` is as everybody sees it: not own.
    """

    node: Node
    visibility: Visibility
    endpoint: PoolEndpoint
    _own: list[PoolEndpoint] = field(default_factory=list, compare=False, repr=False)

    @property
    def own(self) -> PoolEndpoint:
        """Returns the endpoint as its owner sees it; the same object each time, so that equal pools compare
        fast.
        """
        if not self._own:
            self._own.append(replace(self.endpoint, own=True))
        return self._own[0]


def audiences(nodes: Collection[Node]) -> frozenset[Audience]:
    """Returns every organisation and every key that owns a node, approved or not, regardless of its visibility.

    A node that any audience may use today can be its owner's alone tomorrow, by its own report. Audiences
    therefore depend on the desired state alone, and so do the routes' variants.
    """
    organisations = {Audience(node.organisation_id) for node in nodes}
    return frozenset(organisations | {Audience(node.organisation_id, node.owner_key_id) for node in nodes})


def pools(
    model: str, members: Collection[Member], of: Iterable[Audience], before: Mapping[str, Pool]
) -> dict[str, Pool]:
    """Returns the pools of `model` that hold something, by name. A pool that equals the one in `before` is that
    object.
    """
    mine: dict[str, list[Member]] = {}
    for each in members:
        mine.setdefault(each.node.organisation_id, []).append(each)
    result: dict[str, Pool] = {}

    def add(audience: str, endpoints: tuple[PoolEndpoint, ...]) -> None:
        if not endpoints:
            return
        known = before.get(pool_name(model, audience))
        same = known is not None and known.endpoints == endpoints
        pool = known if known is not None and same else Pool(model, endpoints, audience)
        result[pool.name] = pool

    add("", tuple(each.endpoint for each in members if each.visibility is Visibility.COMMUNITY))
    for audience in of:
        candidates = mine.get(audience.organisation_id, ())
        add(audience.id, tuple(each.own for each in candidates if owns(each, audience)))
    return result


def owns(member: Member, audience: Audience) -> bool:
    """Returns whether the node is in this audience's own pool. A node private to a key is in that key's pool
    alone.
    """
    node = member.node
    if node.organisation_id != audience.organisation_id:
        return False
    match member.visibility:
        case Visibility.PRIVATE:
            return audience.key_id == node.owner_key_id
        case Visibility.ORGANISATION | Visibility.COMMUNITY:
            return not audience.key_id
        case _:
            assert_never(member.visibility)
