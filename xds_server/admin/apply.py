"""Makes the state match a document in one transaction; the store's own events are the difference."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from trunkline_proto.admin.v1 import admin_pb2 as pb

from xds_server.admin import prune
from xds_server.admin.document import ParsedDocument, ParsedKey, ParsedOrganisation, parse_document
from xds_server.admin.problems import Problems
from xds_server.admin.prune import SECTIONS
from xds_server.errors import StaleWriteError
from xds_server.model import GATEWAY_SECTIONS, DesiredState, Gateway, Key
from xds_server.store import writing
from xds_server.store.api_keys import hash_of
from xds_server.store.managers import DEFAULT_FILE, Conflict, ConflictReason, Management
from xds_server.store.records import ObjectType
from xds_server.store.settings import KeySettings, Rotation

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Mode:
    """The manager for which a document is applied, and how far it may go. `sections` are those that the document
    has in full.
    """

    manager: str = DEFAULT_FILE
    take_over: bool = False
    prune: bool = False
    sections: frozenset[str] = SECTIONS


class ApplyResult(NamedTuple):
    """The result of applying a document.

    `conflicts` are the objects that were left unchanged because another manager has them, or because the mode does
    not prune. `notes` are further remarks for the operator, one sentence each.
    """

    conflicts: list[Conflict]
    notes: list[str]


def apply(transaction: Transaction, message: pb.Document, mode: Mode = Mode()) -> ApplyResult:
    """Changes what the document's manager may change.

    Raises:
        InvalidFieldError: the document is not valid.
        StaleWriteError: an object carries an old version.
        ManagedError: a conflict, if the API is the manager; a file's conflicts are returned.
    """
    management = transaction.management = Management(mode.manager, mode.take_over)
    state = transaction.state()
    problems = Problems()
    document = parse_document(
        message,
        problems,
        providers={*state.providers, *_of_left_routes(message, state, management)},
        organisations=transaction.organisation_ids,
    )
    stored = _keys_by_name(state)
    if not problems:
        _check_kept_keys(transaction, document, stored, problems)
    problems.raise_if_any()

    # The order does not follow the document: first the objects that leave, then those that others refer to, then
    # those that refer to them.
    leaving = prune.without_moved(
        transaction, prune.leaving(document, state, mode.manager, mode.sections), document, state
    )
    if mode.prune:
        prune.dependents(transaction, leaving)
    _apply_providers(transaction, document)
    organisations = [each for each in document.organisations if _apply_organisation(transaction, each)]
    notes = _apply_keys(transaction, organisations, stored)
    _apply_routes(transaction, document)
    if document.gateway is not None:
        said = {field.name for field, _ in message.gateway.ListFields()}.union(mode.sections)
        gateway = document.gateway.put(transaction, expected=None, sections=said.intersection(GATEWAY_SECTIONS))
        notes += _grants_without_key(transaction, gateway)
    if mode.prune:
        prune.providers(transaction, leaving)
    else:
        management.conflicts += prune.kept(leaving, mode.manager)
    return ApplyResult(management.conflicts, notes)


def _grants_without_key(transaction: Transaction, gateway: Gateway) -> Iterator[str]:
    """Yields a sentence for each grant of tokens whose API key does not exist."""
    names = transaction.keys().names if gateway.jwt else ()
    for index, issuer in enumerate(gateway.jwt):
        for position, grant in enumerate(issuer.grants):
            if (transaction.organisation_ids.get(grant.organisation, ""), grant.key) not in names:
                name = writing.keys.display_name(grant.organisation, grant.key)
                where = f"jwt[{index}].grants[{position}]"
                yield f'{where}: there is no key "{name}": tokens that match this grant are refused'


def _of_left_routes(message: pb.Document, state: DesiredState, management: Management) -> set[str]:
    """Returns the providers of routes that stay as they are because another manager has them.

    That manager may have removed a provider that the document still names there; this is no mistake in the
    document.
    """
    owners = state.owners
    left = {
        (owners[each.organisation_id], each.model)
        for each in state.routes.values()
        if management.is_file and management.claim(each.managed_by, same=False) is None
    }
    return {
        target.provider
        for route in message.routes
        if (route.organisation, route.model) in left
        for target in route.targets
        if target.provider
    }


def _apply_providers(transaction: Transaction, document: ParsedDocument) -> None:
    left_removed = writing.management.left_removed
    for parsed in document.providers:
        if not left_removed(transaction, ObjectType.PROVIDER, parsed.provider.name):
            writing.providers.put(
                transaction,
                parsed.provider,
                expected=parsed.version or None,
                keep_credentials=parsed.keep_credentials,
                path=parsed.path,
            )


def _apply_organisation(transaction: Transaction, parsed: ParsedOrganisation) -> bool:
    """Returns whether the organisation exists."""
    if parsed.name not in transaction.organisation_ids and writing.management.left_removed(
        transaction, ObjectType.ORGANISATION, parsed.name
    ):
        return False
    writing.organisations.put(
        transaction, parsed.name, limits=parsed.limits, weight=parsed.weight, expected=parsed.version or None
    )
    return True


def _apply_routes(transaction: Transaction, document: ParsedDocument) -> None:
    providers = transaction.provider_names()
    for parsed in document.routes:
        name = writing.routes.display_name(parsed.route.model, parsed.organisation)
        if writing.management.left_removed(transaction, ObjectType.ROUTE, name):
            continue
        gone = _removed_references(transaction, parsed.organisation, parsed.providers - providers)
        if gone:
            transaction.management.conflicts.append(
                Conflict(
                    ConflictReason.REFERS_TO_REMOVED,
                    ObjectType.ROUTE,
                    name,
                    transaction.management.manager,
                    detail=gone,
                )
            )
            continue
        writing.routes.put(
            transaction,
            parsed.route,
            organisation=parsed.organisation,
            expected=parsed.version or None,
            path=parsed.path,
        )


def _removed_references(transaction: Transaction, organisation: str, providers: Collection[str]) -> str:
    """Names the objects that a route in the document refers to and that the API removed; empty if there are
    none.
    """
    if organisation and organisation not in transaction.organisation_ids:
        return f"organisation {organisation}"
    return ", ".join(f"provider {each}" for each in sorted(providers))


def _apply_keys(
    transaction: Transaction, organisations: list[ParsedOrganisation], stored: dict[str, dict[str, Key]]
) -> list[str]:
    """Returns notes for the operator."""
    management = transaction.management
    notes: list[str] = []
    claimed = {hash_of(key.value) for owner in organisations for key in owner.keys if key.value}
    missing: list[tuple[str, ParsedKey]] = []
    for owner in organisations:
        for key in owner.keys:
            current = stored.get(owner.name, {}).get(key.name)
            name = writing.keys.display_name(owner.name, key.name)
            if key.version and (current is None or current.version != key.version):
                version = current.version if current else 0
                raise StaleWriteError.of(ObjectType.KEY, name, given=key.version, current=version)
            if current is None:
                if not _stays_revoked(transaction, owner.name, key):
                    missing.append((owner.name, key))
                continue
            if key.value and hash_of(key.value) != current.hash:
                if writing.rotation.was_replaced(current, key.value):
                    notes.append(
                        f'key "{name}": its value in the document was replaced by a rotation, and is not restored'
                    )
                elif management.claim(current.managed_by, same=False) is None:
                    writing.management.refuse(
                        transaction, ObjectType.KEY, name, current, current, changed=frozenset({"value"})
                    )
                    continue
                elif current.hash in claimed or not transaction.keys().is_free(hash_of(key.value)):
                    # The key's value moves from one key to another.
                    settings = writing.keys.replaced(transaction, name, current, key.settings)
                    missing.append((owner.name, replace(key, settings=settings)))
                    continue
                else:
                    # The same key with another secret: id, usage and nodes stay.
                    writing.rotation.rotate(transaction, current.id, Rotation(grace=0, value=key.value))
            if not _is_in_force(key.settings, current, management.manager):
                writing.keys.update(transaction, owner.name, key.name, key.settings)
    # Created after every revocation: a value may have moved to another name or organisation.
    for organisation, key in missing:
        writing.keys.create(transaction, organisation, key.name, key.settings, value=key.value)
    return notes


def _is_in_force(settings: KeySettings, current: Key, manager: str) -> bool:
    """Decides without asking the database: most of thousands of keys did not change."""
    limits = tuple(replace(each, managed_by=manager) for each in settings.limits)
    return current.managed_by == manager and replace(settings, limits=limits) == KeySettings.in_force(current)


def _stays_revoked(transaction: Transaction, organisation: str, key: ParsedKey) -> bool:
    """Returns whether the document's key was revoked or renamed through the API. Another value is another key."""
    name = writing.keys.display_name(organisation, key.name)
    if not transaction.removed().has(ObjectType.KEY, name):
        return False
    hash_ = hash_of(key.value)
    if (
        key.value
        and transaction.keys().is_free(hash_)
        and not writing.keys.was_revoked(transaction, organisation, key.name, hash_)
    ):
        return False
    return writing.management.left_removed(transaction, ObjectType.KEY, name)


def _check_kept_keys(
    transaction: Transaction, document: ParsedDocument, stored: dict[str, dict[str, Key]], problems: Problems
) -> None:
    issuers = document.gateway.value.jwt if document.gateway is not None else ()
    # The sender of a token does not need the value of the key as which it acts, so the generated value is shown to
    # nobody.
    granted = {(grant.organisation, grant.key) for issuer in issuers for grant in issuer.grants}
    for owner in document.organisations:
        for key in owner.keys:
            if key.value or key.name in stored.get(owner.name, {}) or (owner.name, key.name) in granted:
                continue
            name = writing.keys.display_name(owner.name, key.name)
            if not transaction.removed().has(ObjectType.KEY, name):
                problems.at(key.path).note(
                    f'no value, and no stored key "{key.name}" of "{owner.name}" to keep; accepted: 16 characters '
                    "or more, or a key made with `trunkline keys create`"
                )


def _keys_by_name(state: DesiredState) -> dict[str, dict[str, Key]]:
    """Maps an organisation's name → a key's name → the key."""
    found: dict[str, dict[str, Key]] = {each.name: {} for each in state.organisations.values()}
    for key in state.keys.values():
        found[state.organisations[key.organisation_id].name][key.name] = key
    return found
