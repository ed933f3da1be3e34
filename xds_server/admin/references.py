"""Resolves the keys and nodes that a request refers to, among those that its caller may change.

An object of others is reported as nonexistent, so that nobody learns its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from google.protobuf.message import Message

from xds_server.accounts.caller import Caller
from xds_server.accounts.errors import ForbiddenError
from xds_server.accounts.model import Role
from xds_server.accounts.permissions import CallRule, require_own_fields
from xds_server.errors import InvalidFieldError, NotFoundError
from xds_server.model import DesiredState
from xds_server.quoting import quoted
from xds_server.store import AsyncStore

_OPERATING = frozenset({Role.OPERATOR, Role.OWNER})


class _Object(NamedTuple):
    id: str
    name: str
    organisation: str
    #: The key that the object is or belongs to; empty for none.
    key: str


class Resolver:
    """Replaces references by ids. Without a store there are no users, and nothing to replace."""

    def __init__(self, store: AsyncStore | None) -> None:
        self._store = store

    async def resolve(self, rule: CallRule, caller: Caller, request: Message) -> None:
        """Resolves the request's references. Raises NotFoundError, InvalidFieldError, ForbiddenError."""
        if self._store is None or caller.is_admin or not (rule.key or rule.node):
            return
        state = await self._store.load()
        if rule.node:
            node = _find("node", getattr(request, rule.node), _nodes(state), caller)
            setattr(request, rule.node, node.id)
            _check_fields(rule, caller, node.organisation, request)
        elif rule.organisation:
            self._check_owner_key(rule, caller, request, state)
        else:
            key = _find("key", getattr(request, rule.key), _keys(state), caller)
            setattr(request, rule.key, key.id)
            _check_fields(rule, caller, key.organisation, request)

    def _check_owner_key(self, rule: CallRule, caller: Caller, request: Message, state: DesiredState) -> None:
        """Checks that a member's node belongs to a key of their own."""
        organisation, name = getattr(request, rule.organisation), getattr(request, rule.key)
        if caller.role_in(organisation) in _OPERATING:
            return
        if not any(
            (each.organisation, each.name) == (organisation, name) and each.id in caller.own_keys
            for each in _keys(state)
        ):
            raise ForbiddenError(f"{rule.key}: a member's node belongs to a key of their own: name one of those")


def _find(kind: str, reference: str, among: Iterable[_Object], caller: Caller) -> _Object:
    found = [
        each
        for each in among
        if reference in {each.id, each.name, f"{each.organisation}/{each.name}"} and _may_change(caller, each)
    ]
    by_id = [each for each in found if each.id == reference]
    if not found:
        raise NotFoundError(f"no {kind} {quoted(reference)} that you may change")
    if len(found) > 1 and not by_id:
        labels = ", ".join(sorted(f"{each.organisation}/{each.name}" for each in found[:20]))
        raise InvalidFieldError([f"id: several are called {quoted(reference)}: {labels}; accepted: an id"])
    return (by_id or found)[0]


def _may_change(caller: Caller, of: _Object) -> bool:
    role = caller.role_in(of.organisation)
    return role in _OPERATING or (role is Role.MEMBER and of.key in caller.own_keys)


def _check_fields(rule: CallRule, caller: Caller, organisation: str, request: Message) -> None:
    if caller.role_in(organisation) is Role.MEMBER:
        require_own_fields(rule, request)


def _keys(state: DesiredState) -> Iterable[_Object]:
    names = state.owners
    return (_Object(each.id, each.name, names[each.organisation_id], each.id) for each in state.keys.values())


def _nodes(state: DesiredState) -> Iterable[_Object]:
    names = state.owners
    return (
        _Object(each.id, each.name, names[each.organisation_id], each.owner_key_id)
        for each in state.nodes.values()
    )
