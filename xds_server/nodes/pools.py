"""Who may use which node: the pools of one model, as docs/nodes.md states them.

An *audience* is who asks: an organisation that owns nodes, or a key that owns nodes. The pool of an audience has
three ranks: the key's private nodes, the organisation's machines, others' community nodes. An audience has its
pool even where it owns nothing that offers the model: its routes name it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from xds_server.model import Endpoint, Node, Pool, Visibility, pool_name


@dataclass(frozen=True, slots=True)
class Audience:
    """`key_id` is empty for the organisation's own audience."""

    organisation_id: str
    key_id: str = ""

    @property
    def id(self) -> str:
        return self.key_id or self.organisation_id


@dataclass(frozen=True, slots=True)
class Member:
    """An approved node that offers the model, with the visibility that is in force for the moment.

    `endpoint` is as everybody sees it: not own, priority 0.
    """

    node: Node
    visibility: Visibility
    endpoint: Endpoint
    _placed: dict[tuple[bool, int], Endpoint] = field(default_factory=dict, compare=False, repr=False)

    def placed(self, *, own: bool, priority: int) -> Endpoint:
        """The endpoint as an audience sees it; the same object each time, so that equal pools compare fast."""
        found = self._placed.get((own, priority))
        if found is None:
            found = self._placed[own, priority] = replace(self.endpoint, own=own, priority=priority)
        return found


def audiences(nodes: Collection[Node]) -> frozenset[Audience]:
    """Every organisation and every key that owns a node, approved or not, whatever its visibility.

    A node that any audience may use today can be its owner's alone tomorrow, by its own report: so this depends on
    the desired state alone, and so do the routes' shapes.
    """
    organisations = {Audience(node.organisation_id) for node in nodes}
    return frozenset(organisations | {Audience(node.organisation_id, node.owner_key_id) for node in nodes})


def pools(
    model: str, members: Collection[Member], whom: Iterable[Audience], before: Mapping[str, Pool]
) -> dict[str, Pool]:
    """The pools of `model` that hold something, by name; what equals the one in `before` is that object."""
    community = [each for each in members if each.visibility is Visibility.COMMUNITY]
    mine: dict[str, list[Member]] = {}
    for each in members:
        mine.setdefault(each.node.organisation_id, []).append(each)
    everybody = tuple(each.endpoint for each in community)
    ranked: dict[int, list[tuple[str, Endpoint]]] = {}
    result: dict[str, Pool] = {}

    def add(audience: str, endpoints: tuple[Endpoint, ...], *, private: bool = False) -> None:
        if not endpoints:
            return
        known = before.get(pool_name(model, audience, private=private))
        same = known is not None and (known.endpoints is endpoints or known.endpoints == endpoints)
        pool = known if known is not None and same else Pool(model, endpoints, audience, private)
        result[pool.name] = pool

    add("", everybody)
    for audience in whom:
        own = _own(mine.get(audience.organisation_id, ()), audience)
        add(audience.id, own, private=True)
        if not own:
            add(audience.id, everybody)
            continue
        rank = own[-1].priority + 1
        if rank not in ranked:
            ranked[rank] = [
                (each.node.organisation_id, each.placed(own=False, priority=rank)) for each in community
            ]
        others = [endpoint for owner, endpoint in ranked[rank] if owner != audience.organisation_id]
        add(audience.id, (*own, *others))
    return result


def admits(member: Member, audience: Audience) -> bool:
    """May the audience use the node, as one of its own?"""
    node = member.node
    if node.organisation_id != audience.organisation_id:
        return False
    match member.visibility:
        case Visibility.PRIVATE:
            return not node.owner_key_id or node.owner_key_id == audience.key_id
        case Visibility.ORGANISATION | Visibility.COMMUNITY:
            return True
        case _:
            assert_never(member.visibility)


def _own(members: Iterable[Member], audience: Audience) -> tuple[Endpoint, ...]:
    """What the audience owns and may use; the key's own private nodes first."""
    admitted = [each for each in members if admits(each, audience)]
    ranks: tuple[list[Member], list[Member]] = ([], [])
    for each in admitted:
        ranks[0 if each.visibility is Visibility.PRIVATE and each.node.owner_key_id else 1].append(each)
    return tuple(
        each.placed(own=True, priority=priority)
        for priority, rank in enumerate(rank for rank in ranks if rank)
        for each in rank
    )
