"""Making the state what a document says, in one transaction: the store's own events are the difference."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from trunkline_proto.admin.v1 import admin_pb2 as pb

from xds_server.admin.document import ParsedDocument, ParsedKey, parse_document
from xds_server.admin.problems import Problems, some
from xds_server.errors import InUseError, StaleWriteError
from xds_server.model import Key, State
from xds_server.store import DEFAULT_ORGANISATION, writing
from xds_server.store.api_keys import hash_of
from xds_server.store.records import Action, ObjectType
from xds_server.store.settings import KeySettings, Rotation

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Event, Transaction

_KINDS = {
    Action.CREATE: pb.Change.KIND_CREATE,
    Action.UPDATE: pb.Change.KIND_UPDATE,
    Action.DELETE: pb.Change.KIND_DELETE,
    Action.REVOKE: pb.Change.KIND_DELETE,
    Action.ROTATE: pb.Change.KIND_UPDATE,
}
_TYPE_ORDER = list(ObjectType)


def apply(transaction: Transaction, message: pb.Document) -> list[str]:
    """Returns what the operator is to know, one sentence each.

    Raises InvalidFieldError for the document, StaleWriteError for an object that carries an old version, and
    InUseError for an organisation that is to go and has nodes: they join by themselves and stand in no document,
    so none of them may go because it is not there.
    """
    surviving = {DEFAULT_ORGANISATION}.intersection(transaction.organisation_ids)
    problems = Problems()
    document = parse_document(message, problems, surviving_organisations=surviving)
    state = transaction.state()
    if not problems:
        _check_kept_keys(document, state, problems)
    problems.raise_if_any()

    # Whatever the document's order: first what leaves, then what others refer to, then what refers to it.
    _delete_routes(transaction, document, state)
    named = {each.name for each in document.organisations}
    leaving = sorted(set(transaction.organisation_ids) - named - surviving)
    _refuse_nodes(leaving, state)
    for name in leaving:
        writing.organisations.delete(transaction, name)
    for parsed in document.providers:
        writing.providers.put(
            transaction,
            parsed.provider,
            expected=parsed.version or None,
            keep_credentials=parsed.keep_credentials,
            path=parsed.path,
        )
    for owner in document.organisations:
        writing.organisations.put(transaction, owner.name, limits=owner.limits, expected=owner.version or None)
    notes = _apply_keys(transaction, document, state)
    for route in document.routes:
        writing.routes.put(
            transaction,
            route.route,
            organisation=route.organisation,
            expected=route.version or None,
            path=route.path,
        )
    for name in sorted(set(state.providers) - {each.provider.name for each in document.providers}):
        writing.providers.delete(transaction, name)
    return notes


def changes(events: Iterable[Event]) -> list[pb.Change]:
    """By kind of object and name; of one name, what leaves comes first."""
    ordered = sorted(
        events,
        key=lambda event: (
            _TYPE_ORDER.index(event.object_type),
            event.object_name,
            _KINDS[event.action] is not pb.Change.KIND_DELETE,
        ),
    )
    return [
        pb.Change(
            kind=_KINDS[event.action],
            object_type=event.object_type,
            object_name=event.object_name,
            fields=[
                pb.FieldChange(field=field, before=_json(event.before, field), after=_json(event.after, field))
                for field in sorted(event.changed - {"id"})
            ],
        )
        for event in ordered
    ]


def _refuse_nodes(leaving: Iterable[str], state: State) -> None:
    names = {owner.id: owner.name for owner in state.organisations.values()}
    owned = sorted((names[node.organisation_id], node.name) for node in state.nodes.values())
    for organisation in leaving:
        nodes = [name for owner, name in owned if owner == organisation]
        if nodes:
            raise InUseError(
                f'organisation "{organisation}" is not in the document and has nodes ({some(nodes)}): keep '
                f"it there, or remove it with all that it has by `trunkline orgs remove {organisation}`"
            )


def _delete_routes(transaction: Transaction, document: ParsedDocument, state: State) -> None:
    named = {(each.organisation, each.route.model) for each in document.routes}
    owners = {"": "", **{each.id: each.name for each in state.organisations.values()}}
    present = {(owners[route.organisation_id], route.model) for route in state.routes.values()}
    for organisation, model in sorted(present - named):
        writing.routes.delete(transaction, model, organisation=organisation)


def _apply_keys(transaction: Transaction, document: ParsedDocument, state: State) -> list[str]:
    """Returns what the operator is to know."""
    notes: list[str] = []
    stored = _keys_by_name(state)
    claimed = {hash_of(key.value) for owner in document.organisations for key in owner.keys if key.value}
    missing: list[tuple[str, ParsedKey]] = []
    for owner in document.organisations:
        leaving = stored.get(owner.name, {}).copy()
        for key in owner.keys:
            current = leaving.get(key.name)
            if key.version and (current is None or current.version != key.version):
                version = current.version if current else 0
                name = writing.keys.display_name(owner.name, key.name)
                raise StaleWriteError.of(ObjectType.KEY, name, given=key.version, current=version)
            if current is None:
                missing.append((owner.name, key))
                continue
            if key.value and hash_of(key.value) != current.hash:
                label = writing.keys.display_name(owner.name, key.name)
                if writing.rotation.was_replaced(current, key.value):
                    notes.append(
                        f'key "{label}": its value in the document was replaced by a rotation, and is not put back'
                    )
                elif current.hash in claimed or not transaction.keys().is_free(hash_of(key.value)):
                    # The value that it has or gets goes from one key to another.
                    missing.append((owner.name, key))
                    continue
                else:
                    # The same key with another secret: id, usage and nodes stay.
                    writing.rotation.rotate(transaction, current.id, Rotation(grace=0, value=key.value))
            del leaving[key.name]
            if key.settings != KeySettings.in_force(current):
                writing.keys.update(transaction, owner.name, key.name, key.settings)
        for key_record in leaving.values():
            writing.keys.revoke(transaction, key_record.id)
    # After every revocation: a value may have moved to another name or organisation.
    for organisation, key in missing:
        writing.keys.create(transaction, organisation, key.name, key.settings, value=key.value)
    return notes


def _check_kept_keys(document: ParsedDocument, state: State, problems: Problems) -> None:
    stored = _keys_by_name(state)
    for owner in document.organisations:
        for key in owner.keys:
            if not key.value and key.name not in stored.get(owner.name, {}):
                problems.at(key.path).note(
                    f'no value, and no stored key "{key.name}" of "{owner.name}" to keep; accepted: 16 characters '
                    "or more, or a key made with `trunkline keys create`"
                )


def _keys_by_name(state: State) -> dict[str, dict[str, Key]]:
    """Organisation's name → key's name → key."""
    found: dict[str, dict[str, Key]] = {each.name: {} for each in state.organisations.values()}
    for key in state.keys.values():
        found[state.organisations[key.organisation_id].name][key.name] = key
    return found


def _json(view: object, field: str) -> str:
    if not isinstance(view, dict) or field not in view:
        return ""
    return json.dumps(view[field], separators=(",", ":"), ensure_ascii=False)
