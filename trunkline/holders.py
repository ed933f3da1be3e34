"""The holders of limits: organisations, keys and routes, as `org:acme`, `key:acme/ci` and `route:gpt-4.1`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import click
from click.shell_completion import CompletionItem
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.v1.admin_pb2_grpc import AdminStub
from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline import completion, names
from trunkline.errors import UsageError

_EXPECTED = "expected org:acme, key:acme/ci or route:gpt-4.1"
#: Kind of holder → its name in messages.
_KINDS = {"org": "organisation", "key": "key", "route": "route"}

#: The current limits → the new ones.
Edit = Callable[[Sequence[policy.Limit]], Iterable[policy.Limit]]


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """The control plane's answer to a change."""

    propagation: admin.Propagation
    warnings: Sequence[str] = ()


class _Limited(Protocol):
    """An organisation, key or route of the Admin API."""

    @property
    def limits(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Holder:
    """`kind` is org, key or route; `name` is `ORG/NAME` for a key, and for a route that an organisation owns."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class HolderFlag(click.ParamType[Holder]):
    """`org:NAME`, `key:ORG/NAME` or `key:ID`, `route:MODEL` or `route:ORG/MODEL`."""

    name = "org:NAME|key:ORG/NAME|route:[ORG/]MODEL"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        kind, colon, _ = incomplete.partition(":")
        if not colon or kind not in _KINDS:
            return completion.matching([f"{each}:" for each in _KINDS], incomplete)
        return completion.matching([f"{kind}:{each}" for each in completion.known(ctx, _KINDS[kind])], incomplete)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Holder:
        if isinstance(value, Holder):
            return value
        kind, _, name = str(value).partition(":")
        if kind not in {"org", "key", "route"} or not name:
            self.fail(f"{value}: {_EXPECTED}", param, ctx)
        return Holder(kind, name)


def every(api: AdminStub) -> list[tuple[Holder, Sequence[policy.Limit]]]:
    """Returns all holders with their limits: organisations, keys that are not revoked, routes."""
    organisations = api.ListOrganisations(admin.ListOrganisationsRequest()).organisations
    keys = api.ListKeys(admin.ListKeysRequest()).keys
    routes = api.ListRoutes(admin.ListRoutesRequest()).routes
    return [
        *((Holder("org", each.name), each.limits) for each in organisations),
        *((Holder("key", f"{each.organisation}/{each.name}"), each.limits) for each in keys),
        *((Holder("route", _route_name(each)), each.limits) for each in routes),
    ]


def change(api: AdminStub, holder: Holder, edit: Edit) -> ChangeResult:
    """Replaces the holder's limits by the result of `edit`. Raises UsageError if there is no such holder."""
    match holder.kind:
        case "org":
            stored = api.ListOrganisations(admin.ListOrganisationsRequest()).organisations
            organisation = _only(holder, [(each.name, each) for each in stored])
            _edit(organisation, edit)
            put = api.PutOrganisation(admin.PutOrganisationRequest(organisation=organisation))
            return ChangeResult(put.propagation, put.warnings)
        case "route":
            found = api.ListRoutes(admin.ListRoutesRequest()).routes
            route = _only(holder, [(_route_name(each), each) for each in found])
            _edit(route, edit)
            stored_route = api.PutRoute(admin.PutRouteRequest(route=route))
            return ChangeResult(stored_route.propagation, stored_route.warnings)
        case _:
            return _change_key(api, holder, edit)


def _change_key(api: AdminStub, holder: Holder, edit: Edit) -> ChangeResult:
    keys = api.ListKeys(admin.ListKeysRequest()).keys
    by_id = [each for each in keys if each.id == holder.name]
    key = by_id[0] if by_id else _only(holder, [(names.key_label(each), each) for each in keys])
    limits = list(edit(key.limits))
    request = admin.UpdateKeyRequest(id=key.id, version=key.version, limits=limits, clear_limits=not limits)
    return ChangeResult(api.UpdateKey(request).propagation)


def _edit(holder: _Limited, edit: Edit) -> None:
    wanted = list(edit(holder.limits))
    del holder.limits[:]
    holder.limits.extend(wanted)


def _only(holder: Holder, stored: Sequence[tuple[str, Any]]) -> Any:
    """Returns the holder's object; `stored` are all objects of its kind, with their names.

    Raises UsageError if there is none, or if a global route and an organisation's have the same name.
    """
    candidates = [each for name, each in stored if name == holder.name]
    if not candidates:
        said = names.hint(_KINDS[holder.kind], holder.name, [name for name, _ in stored])
        is_short = holder.kind == "key" and "/" not in holder.name
        raise UsageError(f"there is no {holder}: {f'{_EXPECTED}; ' if is_short else ''}{said}")
    if len(candidates) > 1:
        raise UsageError(f"{holder} may be two routes: use `trunkline routes set MODEL --org ORG --limit …`")
    return candidates[0]


def _route_name(route: admin.Route) -> str:
    return names.route_label(route.model, route.organisation)
