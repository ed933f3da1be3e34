"""Finds objects by name or id, and suggests similar names for objects that do not exist."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.v1.admin_pb2_grpc import AdminStub

from trunkline.errors import ControlError, UsageError


def _providers(api: AdminStub) -> list[str]:
    return [each.name for each in api.ListProviders(admin.ListProvidersRequest()).providers]


def _routes(api: AdminStub) -> list[str]:
    found = api.ListRoutes(admin.ListRoutesRequest()).routes
    return [route_label(each.model, each.organisation) for each in found]


def _organisations(api: AdminStub) -> list[str]:
    return [each.name for each in api.ListOrganisations(admin.ListOrganisationsRequest()).organisations]


def _keys(api: AdminStub) -> list[str]:
    return [key_label(each) for each in api.ListKeys(admin.ListKeysRequest()).keys]


def _nodes(api: AdminStub) -> list[str]:
    return [f"{each.organisation}/{each.name}" for each in api.ListNodes(admin.ListNodesRequest()).nodes]


def _users(api: AdminStub) -> list[str]:
    return [each.email for each in api.ListUsers(admin.ListUsersRequest()).users]


#: An object's kind in messages → the names of all its objects.
KINDS: dict[str, Callable[[AdminStub], list[str]]] = {
    "provider": _providers,
    "route": _routes,
    "organisation": _organisations,
    "key": _keys,
    "node": _nodes,
    "user": _users,
}
#: The noun on the command line, if it is a different word.
_NOUNS = {"organisation": "orgs", "identity provider": "sso", "token issuer": "jwt"}


def key_label(key: admin.Key) -> str:
    """Returns the label of a key, as `acme/ci`."""
    return f"{key.organisation}/{key.name}"


def route_label(model: str, organisation: str) -> str:
    """Returns the label of a route: `gpt-4.1`, or `acme/gpt-4.1` for an organisation's own route."""
    return f"{organisation}/{model}" if organisation else model


def find_route(routes: Iterable[admin.Route], model: str, organisation: str) -> admin.Route | None:
    """Returns the route of this model and organisation; None if there is none."""
    return next((each for each in routes if each.model == model and each.organisation == organisation), None)


def target_label(target: admin.RouteTarget) -> str:
    """Names a target as in the response header x-trunkline-target."""
    return f"nodes/{target.nodes}" if target.nodes else f"{target.provider}/{target.model}"


def hint(kind: str, wanted: str, known: Iterable[str]) -> str:
    """Returns `did you mean openai?`, or the command that lists the objects."""
    by_case = {each.lower(): each for each in known}
    # A name within an organisation is often given alone.
    by_case |= {each.lower().rpartition("/")[2]: each for each in by_case.values() if kind in {"key", "node"}}
    close = difflib.get_close_matches(wanted.lower(), by_case, n=1)
    if close:
        return f"did you mean {by_case[close[0]]}?"
    return f"see `trunkline {_NOUNS.get(kind, f'{kind}s')} list`"


def unknown(kind: str, wanted: str, known: Iterable[str]) -> UsageError:
    """Returns the error for an object that does not exist."""
    return UsageError(f"there is no {kind} {wanted}: {hint(kind, wanted, known)}")


@contextmanager
def suggesting(api: AdminStub, kind: str, wanted: str) -> Iterator[None]:
    """Wraps a call about the object `wanted`. If the object does not exist, the error suggests a similar name."""
    try:
        yield
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        try:
            known = KINDS[kind](api)
        except grpc.RpcError:
            raise error from None
        message, _, where_listed = (error.details() or f"there is no {kind} {wanted}").partition(": `trunkline")
        if ": " in message and not where_listed:  # the error says why
            raise
        missing_another = any(message.startswith(f"no {other} ") for other in KINDS if other != kind)
        if missing_another:
            raise
        raise ControlError(f"{message}: {hint(kind, wanted, known)}") from error


@contextmanager
def adding(kind: str, name: str, command: str) -> Iterator[None]:
    """Wraps a call that creates the object `name`. If it exists, the error says which command changes it."""
    try:
        yield
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
        raise ControlError(f"{kind} {name} exists: to change it, use `trunkline {command} {name}`") from error


def key_id(api: AdminStub, reference: str, *, revoked: bool = False) -> str:
    """Returns the public id of the key that `reference` names: an id, ORGANISATION/NAME, or a NAME that is unique.

    A reference that matches no key is returned unchanged: the control plane may know keys that are no longer
    listed. With `revoked`, a revoked key is found if no other key has its name. Raises UsageError if several keys
    match.
    """
    keys = api.ListKeys(admin.ListKeysRequest(include_revoked=revoked)).keys
    if any(each.id == reference for each in keys):
        return reference
    found = [each for each in keys if reference in {each.name, key_label(each)}]
    working = [each for each in found if not each.revoked_at]
    candidates = working or found
    if not candidates:
        return reference
    if len(candidates) > 1:
        labels = ", ".join(f"{key_label(each)} ({each.id})" for each in candidates)
        raise UsageError(f"{reference} may be {labels}: say which")
    return candidates[0].id


def key_labels(api: AdminStub, ids: Collection[str]) -> dict[str, str]:
    """Returns the labels (`acme/ci`) of those of `ids` that are known, including revoked keys, by public id."""
    if not any(ids):
        return {}
    keys = api.ListKeys(admin.ListKeysRequest(include_revoked=True)).keys
    return {each.id: key_label(each) for each in keys if each.id in ids}


def node_labels(api: AdminStub, ids: Collection[str]) -> dict[str, str]:
    """Returns the labels (`acme/rig`) of those of `ids` that are known, by id."""
    if not any(ids):
        return {}
    nodes: Sequence[admin.Node] = api.ListNodes(admin.ListNodesRequest()).nodes
    return {each.id: f"{each.organisation}/{each.name}" for each in nodes if each.id in ids}
