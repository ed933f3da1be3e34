"""Handles what a file manages and no longer names: it stays and is reported, unless the file prunes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xds_server.admin.document import ParsedDocument
from xds_server.admin.problems import some
from xds_server.errors import InUseError
from xds_server.model import DesiredState
from xds_server.store import DEFAULT_ORGANISATION, writing
from xds_server.store.api_keys import hash_of
from xds_server.store.managers import Conflict, ConflictReason
from xds_server.store.records import ObjectType

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

#: The sections of trunkline.yaml.
SECTIONS = frozenset({"providers", "routes", "organisations"})


@dataclass(frozen=True, slots=True)
class Leaving:
    """The names of objects that leave; routes are (organisation, model), and keys (organisation, name, id)."""

    providers: tuple[str, ...]
    routes: tuple[tuple[str, str], ...]
    organisations: tuple[str, ...]
    keys: tuple[tuple[str, str, str], ...]


def leaving(document: ParsedDocument, state: DesiredState, manager: str, sections: frozenset[str]) -> Leaving:
    """Returns what `manager` has of `sections` and the document does not name. The first start's organisation
    stays.
    """
    owners = state.owners
    providers = {name for name, each in state.providers.items() if each.managed_by == manager}
    routes = {
        (owners[each.organisation_id], each.model) for each in state.routes.values() if each.managed_by == manager
    }
    organisations = {each.name for each in state.organisations.values() if each.managed_by == manager}
    named_keys = {(owner.name, key.name) for owner in document.organisations for key in owner.keys}
    keys = {
        (owners[each.organisation_id], each.name, each.id)
        for each in state.keys.values()
        if each.managed_by == manager and (owners[each.organisation_id], each.name) not in named_keys
    }
    of_organisations = "organisations" in sections
    return Leaving(
        tuple(sorted(providers - {each.provider.name for each in document.providers}))
        if "providers" in sections
        else (),
        tuple(sorted(routes - {(each.organisation, each.route.model) for each in document.routes}))
        if "routes" in sections
        else (),
        tuple(sorted(organisations - {each.name for each in document.organisations} - {DEFAULT_ORGANISATION}))
        if of_organisations
        else (),
        tuple(sorted(keys)) if of_organisations else (),
    )


def without_moved(
    transaction: Transaction, found: Leaving, document: ParsedDocument, state: DesiredState
) -> Leaving:
    """Revokes keys whose value the document gives to another name: the value lives on under that name."""
    given = {hash_of(key.value) for owner in document.organisations for key in owner.keys if key.value}
    moved = {id_ for _, _, id_ in found.keys if state.keys[id_].hash in given}
    for id_ in sorted(moved):
        writing.keys.revoke(transaction, id_)
    return replace(found, keys=tuple(each for each in found.keys if each[2] not in moved))


def kept(found: Leaving, manager: str) -> Iterator[Conflict]:
    """Yields a conflict for each object that stays because the file does not prune."""
    names = [
        *((ObjectType.PROVIDER, name) for name in found.providers),
        *((ObjectType.ROUTE, writing.routes.display_name(model, owner)) for owner, model in found.routes),
        *((ObjectType.ORGANISATION, name) for name in found.organisations),
        *((ObjectType.KEY, writing.keys.display_name(owner, name)) for owner, name, _ in found.keys),
    ]
    for object_type, name in names:
        yield Conflict(ConflictReason.NOT_PRUNED, object_type, name, manager)


def dependents(transaction: Transaction, found: Leaving) -> None:
    """Removes routes, keys and organisations. An organisation in which others have something stays."""
    for owner, model in found.routes:
        writing.routes.delete(transaction, model, organisation=owner)
    for _, _, key_id in found.keys:
        writing.keys.revoke(transaction, key_id)
    state = transaction.state() if found.organisations else DesiredState(0)
    for name in found.organisations:
        if holds := _held(state, transaction.organisation_ids[name], transaction.management.manager):
            _in_use(transaction, ObjectType.ORGANISATION, name, f"it has {holds}")
        else:
            writing.organisations.delete(transaction, name)


def providers(transaction: Transaction, found: Leaving) -> None:
    """Removes providers once no route of the document needs them. A provider that another manager's route uses
    stays.
    """
    for name in found.providers:
        try:
            writing.providers.delete(transaction, name)
        except InUseError as error:
            _in_use(transaction, ObjectType.PROVIDER, name, str(error))


def _held(state: DesiredState, organisation_id: str, manager: str) -> str:
    """Describes what an organisation has that `manager` does not manage; empty if nothing."""
    parts = (
        ("nodes", [each.name for each in state.nodes.values() if each.organisation_id == organisation_id]),
        ("keys", [each.name for each in state.keys.values() if each.organisation_id == organisation_id]),
        ("routes", [each.model for each in state.routes.values() if each.organisation_id == organisation_id]),
        (
            "limits",
            [each.name for each in state.organisations[organisation_id].limits if each.managed_by != manager],
        ),
    )
    return " and ".join(f"{what} ({some(names)})" for what, names in parts if names)


def _in_use(transaction: Transaction, object_type: ObjectType, name: str, detail: str) -> None:
    management = transaction.management
    management.conflicts.append(
        Conflict(ConflictReason.IN_USE, object_type, name, management.manager, detail=detail)
    )
