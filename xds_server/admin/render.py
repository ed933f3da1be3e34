"""Renders values of the model as messages of the Admin API. Credentials and hashes cannot pass here."""

from __future__ import annotations

import time

from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2

from xds_server.accounts.settings import IdentityProvider, JwtIssuer
from xds_server.admin.ports import LiveNode, LiveNodes
from xds_server.messages import Encoder
from xds_server.model import (
    Alerting,
    DesiredState,
    Gateway,
    Key,
    Node,
    NodesTarget,
    Organisation,
    Provider,
    ProviderTarget,
    Route,
    SharedCache,
    Target,
)
from xds_server.prices import TargetPrice
from xds_server.reasons import Reason
from xds_server.store import managers
from xds_server.store.records import AuditEvent

_PROVIDER = Encoder(
    Provider,
    pb.Provider,
    given=["credential_count", "credentials", "clear_credentials"],
    omitted=["credentials"],
)
_ROUTE = Encoder(Route, pb.Route, given=["organisation", "targets"], omitted=["organisation_id", "created_at"])
_PRICE = Encoder(TargetPrice, policy_pb2.Price)
_AT_PROVIDER = Encoder(
    ProviderTarget, pb.RouteTarget, given=["nodes", "price", "price_history"], omitted=["prices"]
)
_AT_NODES = Encoder(
    NodesTarget,
    pb.RouteTarget,
    given=["provider", "model", "nodes", "price", "price_history"],
    omitted=["model", "prices"],
)
_ORGANISATION = Encoder(Organisation, pb.Organisation)
_KEY = Encoder(
    Key,
    pb.Key,
    given=["organisation", "revoked_at", "former_until", "owner"],
    omitted=["organisation_id", "hash", "former_hash", "former_until", "retired"],
)
_NODE = Encoder(
    Node,
    pb.Node,
    given=[
        "organisation", "owner_key", "boost_percent", "state", "state_reason", "state_reason_code",
        "last_seen", "facts", "offers", "load",
    ],
    omitted=["organisation_id", "owner_key_id", "boost"],
)  # fmt: skip
#: A secret goes in and never comes out.
_SHARED_CACHE = Encoder(SharedCache, pb.SharedCache, given=["password", "clear_password", "has_password"])
_IDENTITY_PROVIDER = Encoder(
    IdentityProvider, pb.IdentityProvider, given=["has_secret", "client_secret"], omitted=["client_secret"]
)
_JWT_ISSUER = Encoder(JwtIssuer, pb.JwtIssuer, given=["key_ids"], omitted=["keys"])
_GATEWAY = Encoder(
    Gateway,
    pb.Gateway,
    given=["managed_by"],
    omitted=["cache_password"],
    parts={
        SharedCache: _SHARED_CACHE,
        Alerting: lambda value: pb.Alerting(webhook=value.webhook, signed=bool(value.secret)),
        IdentityProvider: lambda value: _IDENTITY_PROVIDER(value, has_secret=bool(value.client_secret)),
        JwtIssuer: lambda value: _JWT_ISSUER(value, key_ids=value.key_ids),
    },
)
_AUDIT_EVENT = Encoder(AuditEvent, pb.AuditEvent, given=["organisation"], omitted=["organisation_id"])


def provider(value: Provider) -> pb.Provider:
    """Renders a provider. Credentials are only counted, never shown."""
    return _PROVIDER(value, credential_count=len(value.credentials))


def route(value: Route, organisation: str) -> pb.Route:
    """Renders a route. `organisation` is a name, empty for a route that serves everybody."""
    return _ROUTE(value, organisation=organisation, targets=map(_target, value.targets))


def organisation(value: Organisation) -> pb.Organisation:
    """Renders an organisation without its keys."""
    return _ORGANISATION(value)


def gateway(value: Gateway) -> pb.Gateway:
    """Renders the gateway's settings. `managed_by` is empty unless one manager has all of them; the password is
    never shown.
    """
    managers = {each.managed_by for each in value.managers}
    message = _GATEWAY(value, managed_by=managers.pop() if len(managers) == 1 else "")
    message.cache.has_password = bool(value.cache_password)
    return message


def key(value: Key, organisation: str, revoked_at: int = 0, *, owner: str = "") -> pb.Key:
    """Renders a key. A grace period that is over is left out."""
    former_until = value.former_until if value.former_until > time.time() and not revoked_at else 0
    return _KEY(value, organisation=organisation, revoked_at=revoked_at, former_until=former_until, owner=owner)


def node(value: Node, organisation: str, owner_key: str, live: LiveNode | None) -> pb.Node:
    """Renders a node. `organisation` and `owner_key` are names; a node without `live` is `offline`, or
    `pending`.
    """
    state, code = ("offline", "node.silent") if value.approved else ("pending", "node.pending")
    reason = live.state_reason if live else Reason.of(code)
    return _NODE(
        value,
        organisation=organisation,
        owner_key=owner_key,
        boost_percent=value.boost,
        state=live.state if live else state,
        state_reason=reason,
        state_reason_code=reason.coded,
        last_seen=live.last_seen if live else 0,
        facts=live.facts if live else None,
        offers=live.offers if live else (),
        load=live.load if live else None,
    )


def nodes(state: DesiredState, live: LiveNodes, organisation: str = "") -> list[pb.Node]:
    """Renders nodes by organisation and name; `organisation` is a name, empty for all."""
    owners = state.owners
    keys = {each.id: each.name for each in state.keys.values()}
    found = [
        node(each, owners[each.organisation_id], keys.get(each.owner_key_id, ""), live.describe(each.id))
        for each in state.nodes.values()
        if organisation in {"", owners[each.organisation_id]}
    ]
    return sorted(found, key=lambda each: (each.organisation, each.name))


def audit_event(value: AuditEvent, state: DesiredState) -> pb.AuditEvent:
    """Renders an event. The organisation is named if it still exists; otherwise its id is shown."""
    return _AUDIT_EVENT(value, organisation=state.owners.get(value.organisation_id, value.organisation_id))


def routes(state: DesiredState) -> list[pb.Route]:
    """Renders routes by organisation and model, those that everybody sees first."""
    names = state.owners
    named = [(names[each.organisation_id], each.model, each) for each in state.routes.values()]
    return [route(each, name) for name, _, each in sorted(named, key=lambda item: item[:2])]


def document(state: DesiredState, managed_by: str = "") -> pb.Document:
    """Renders the state as a document that `Apply` accepts without changing anything. It has no versions and no
    past prices: a document says what is wanted, not what was.

    With `managed_by` (see ExportRequest), the document has only what that manager has. An organisation is also
    there for its keys and limits.
    """
    if managed_by:
        state = managers.part_of(state, managed_by)
    keys_of: dict[str, list[Key]] = {id_: [] for id_ in state.organisations}
    for each in state.keys.values():
        keys_of[each.organisation_id].append(each)
    rendered = pb.Document(
        providers=[provider(each) for each in sorted(state.providers.values(), key=lambda item: item.name)],
        routes=routes(state),
        organisations=[
            pb.OrganisationDocument(
                organisation=organisation(owner),
                keys=[
                    pb.KeyDocument(key=key(each, owner.name))
                    for each in sorted(keys_of[owner.id], key=lambda item: item.name)
                ],
            )
            for owner in sorted(state.organisations.values(), key=lambda item: item.name)
        ],
        gateway=gateway(state.gateway) if state.gateway.version else None,
    )
    if state.gateway.version:
        rendered.gateway.ClearField("version")
    for each_provider in rendered.providers:
        each_provider.ClearField("version")
    for each_route in rendered.routes:
        each_route.ClearField("version")
        for target in each_route.targets:
            target.ClearField("price_history")
    for owner_document in rendered.organisations:
        owner_document.organisation.ClearField("version")
        for key_document in owner_document.keys:
            key_document.key.ClearField("version")
            key_document.key.ClearField("former_until")
    return rendered


def _target(value: Target) -> pb.RouteTarget:
    """Renders a target with its newest price: the one in force, or the last one to come."""
    history = list(map(_PRICE, value.prices))
    price = history[-1] if history else None
    match value:
        case ProviderTarget():
            return _AT_PROVIDER(value, price=price, price_history=history)
        case NodesTarget():
            return _AT_NODES(value, nodes=value.model, price=price, price_history=history)
