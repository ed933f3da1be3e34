"""Decides what a write may change of another manager's objects. Every write of an object passes through
`settled`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from xds_server.errors import ManagedError
from xds_server.model import GATEWAY_SECTIONS, Gateway, Key, Limit, Organisation, Provider, Route
from xds_server.store import views
from xds_server.store.managers import API, Conflict, ConflictReason, is_file, shown
from xds_server.store.records import ObjectType
from xds_server.store.views import View

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

T = TypeVar("T", Provider, Route, Organisation, Key)
L = TypeVar("L", Route, Organisation, Key)

#: Parts that have managers of their own, and fields that no manager decides.
_APART = frozenset(
    {
        "limits",
        "credentials",
        "credentials_managed_by",
        # For keys: a rotation stays in force even if the file differs; see rotation.was_replaced.
        "hash",
        "former_hash",
        "former_until",
        "retired",
        "managed_by",
        "version",
    }
)
_VIEWS: dict[ObjectType, Callable[[Any], View]] = {
    ObjectType.PROVIDER: views.provider,
    ObjectType.ROUTE: views.route,
    ObjectType.ORGANISATION: views.organisation,
    ObjectType.KEY: views.key,
}


def settled(
    transaction: Transaction,
    object_type: ObjectType,
    name: str,
    before: T | None,
    after: T,
    *,
    states_credentials: bool = True,
) -> T:
    """Returns `after` as it may be stored: with the managers of the object and of its parts, and with the parts
    that others manage. `before` is what is stored. If a file would change another manager's object, the result is
    as stored, and the conflict is noted.

    Raises ManagedError if the API would change what a file manages.
    """
    management = transaction.management
    if before is None:
        transaction.removed().forget(object_type, name)
        return _created(transaction, object_type, name, after)
    changed = frozenset(
        field.name
        for field in fields(after)
        if field.name not in _APART and getattr(before, field.name) != getattr(after, field.name)
    )
    managed_by = management.claim(before.managed_by, same=not changed)
    if isinstance(after, Organisation) and management.is_file and not management.take_over:
        # The file changes nothing of the object: naming it does not claim it from its creator.
        managed_by = before.managed_by or management.manager
    if managed_by is None:
        refuse(transaction, object_type, name, before, after, changed=changed)
        return before
    after = replace(after, managed_by=managed_by)
    if isinstance(after, Provider):
        assert isinstance(before, Provider)  # noqa: S101 - both are of one kind
        return _with_credentials(transaction, name, before, after, states_credentials)
    return _with_limits(transaction, object_type, name, before, after)


def _created(transaction: Transaction, object_type: ObjectType, name: str, value: T) -> T:
    manager = transaction.management.manager
    value = replace(value, managed_by=manager)
    if isinstance(value, Provider):
        return replace(value, credentials_managed_by=manager if value.credentials else "")
    return _with_limits(transaction, object_type, name, None, value)


def settled_sections(
    transaction: Transaction, before: Gateway, after: Gateway, sections: Collection[str]
) -> Gateway:
    """Returns `after` as it may be stored: each of `sections` with its manager, or as in `before` where somebody
    else manages it, which is noted. The other sections are as in `before`.

    Raises ManagedError where the API would change what a file manages.
    """
    management = transaction.management
    managers = {name: before.manager_of(name) for name in GATEWAY_SECTIONS}
    changed = {name for name in sections if _section(before, name) != _section(after, name)}
    kept, refused = set(GATEWAY_SECTIONS).difference(sections), dict[str, set[str]]()
    for name in GATEWAY_SECTIONS:
        if name not in sections:
            continue
        is_free = not managers[name] and _section(before, name) == _section(Gateway(), name)
        if is_free and name not in changed:
            continue  # it states the default, which needs no manager
        claimed = management.manager if is_free else management.claim(managers[name], same=name not in changed)
        if claimed is None:
            kept.add(name)
            refused.setdefault(managers[name], set()).add(name)
        else:
            managers[name] = claimed
    for manager, names in refused.items():
        if not management.is_file:
            raise ManagedError(_managed_elsewhere(ObjectType.GATEWAY, min(names), manager))
        management.conflicts.append(
            Conflict(
                ConflictReason.MANAGED_ELSEWHERE,
                ObjectType.GATEWAY,
                "gateway",
                manager,
                before=views.gateway(before),
                after=views.gateway(after),
                changed=frozenset(names),
            )
        )
    stored = {field: getattr(before, field) for name in kept for field in GATEWAY_SECTIONS[name]}
    return replace(after, **stored, version=before.version).with_managers(managers)


def _section(gateway: Gateway, name: str) -> list[object]:
    return [getattr(gateway, field) for field in GATEWAY_SECTIONS[name]]


def removing(transaction: Transaction, object_type: ObjectType, name: str, managed_by: str) -> None:
    """Checks that an object may be removed. What the API removes of a file's objects is recorded, so that the file
    does not bring it back.

    Raises ManagedError if the API would remove what a file manages. Keys can always be removed: a leaked key must
    not wait for a file.
    """
    management = transaction.management
    transaction.removed().forget(object_type, name)
    if management.is_file or not is_file(managed_by):
        return
    if not management.take_over and object_type is not ObjectType.KEY:
        raise ManagedError(_managed_elsewhere(object_type, name, managed_by))
    transaction.removed().add(object_type, name, "", managed_by=managed_by, now=transaction.now)


def left_removed(transaction: Transaction, object_type: ObjectType, name: str, limit: Limit | None = None) -> bool:
    """Returns whether a file must leave the object out because the API removed it. Notes the conflict."""
    management = transaction.management
    if not management.is_file or management.take_over:
        return False
    if not transaction.removed().has(object_type, name, limit.name if limit is not None else ""):
        return False
    management.conflicts.append(Conflict(ConflictReason.REMOVED, object_type, name, API, limit=limit))
    return True


def _with_limits(transaction: Transaction, object_type: ObjectType, name: str, before: L | None, after: L) -> L:
    """Returns `after` with the limits that its holder should have. A file decides only about its own limits; the
    API about all.
    """
    management = transaction.management
    wanted = {each.identity: each for each in after.limits}
    kept: list[Limit] = []
    for stored in before.limits if before is not None else ():
        given = wanted.pop(stored.identity, None)
        if given is None:
            if not _drops(transaction, object_type, name, stored):
                kept.append(stored)
            continue
        managed_by = management.claim(stored.managed_by, same=given.amount == stored.amount)
        if managed_by is None:
            _refuse_limit(transaction, object_type, name, stored, given)
            kept.append(stored)
        else:
            kept.append(replace(given, managed_by=managed_by))
    for given in wanted.values():
        if left_removed(transaction, object_type, name, given):
            continue
        transaction.removed().forget_part(object_type, name, given.name)
        kept.append(replace(given, managed_by=given.managed_by or management.manager))
    return replace(after, limits=tuple(kept))


def _drops(transaction: Transaction, object_type: ObjectType, name: str, stored: Limit) -> bool:
    """Returns whether a limit is removed that is no longer given."""
    management = transaction.management
    if management.is_file:
        return stored.managed_by == management.manager
    if is_file(stored.managed_by):
        if not management.take_over:
            raise ManagedError(_managed_elsewhere(object_type, name, stored.managed_by, stored))
        removed = transaction.removed()
        removed.add(object_type, name, stored.name, managed_by=stored.managed_by, now=transaction.now)
    return True


def _with_credentials(
    transaction: Transaction, name: str, before: Provider, after: Provider, states_credentials: bool
) -> Provider:
    management = transaction.management
    if not states_credentials:
        return replace(after, credentials_managed_by=before.credentials_managed_by)
    same = before.credentials == after.credentials
    managed_by = (
        management.manager
        if not before.credentials and not same
        else management.claim(before.credentials_managed_by, same=same)
    )
    if managed_by is None:
        refuse(transaction, ObjectType.PROVIDER, name, before, after, changed=frozenset({"credentials"}))
        return replace(after, credentials=before.credentials, credentials_managed_by=before.credentials_managed_by)
    return replace(after, credentials_managed_by=managed_by if after.credentials else "")


def refuse(
    transaction: Transaction, object_type: ObjectType, name: str, before: T, after: T, *, changed: frozenset[str]
) -> None:
    """Notes that a file leaves an object as it is, and which fields differ. Raises ManagedError for the API."""
    management = transaction.management
    managed_by = before.managed_by
    if changed == {"credentials"} and isinstance(before, Provider):
        managed_by = before.credentials_managed_by
    if not management.is_file:
        raise ManagedError(_managed_elsewhere(object_type, name, managed_by))
    view = _VIEWS[object_type]
    management.conflicts.append(
        Conflict(
            ConflictReason.MANAGED_ELSEWHERE,
            object_type,
            name,
            managed_by,
            before=view(before),
            after=view(after),
            changed=changed,
        )
    )


def _refuse_limit(
    transaction: Transaction, object_type: ObjectType, name: str, stored: Limit, given: Limit
) -> None:
    management = transaction.management
    if not management.is_file:
        raise ManagedError(_managed_elsewhere(object_type, name, stored.managed_by, stored))
    management.conflicts.append(
        Conflict(
            ConflictReason.MANAGED_ELSEWHERE,
            object_type,
            name,
            stored.managed_by,
            limit=stored,
            before={"amount": stored.amount},
            after={"amount": given.amount},
            changed=frozenset({"amount"}),
        )
    )


def _managed_elsewhere(object_type: ObjectType, name: str, managed_by: str, limit: Limit | None = None) -> str:
    what = f"the limit {limit.name} of " if limit is not None else ""
    return (
        f'{what}{object_type} "{name}" is managed by {shown(managed_by)}: change it there and apply that, or '
        "repeat this with --take-over (metadata x-trunkline-take-over: true), after which the file leaves it alone"
    )
