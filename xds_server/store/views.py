"""Renders objects as JSON for the audit trail and for differences: secrets as `***`, no versions.

A view has every field of its object except those named here, so that a new field is audited without being listed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from xds_server.accounts.links import Link
from xds_server.accounts.model import PersonalToken, User
from xds_server.model import (
    Gateway,
    Key,
    Limit,
    Node,
    NodesTarget,
    Organisation,
    Provider,
    ProviderTarget,
    Route,
    Target,
)
from xds_server.store.records import JoinTokenRecord

MASK = "***"

#: Field → JSON value.
View = Mapping[str, Any]

#: The event itself has these: the object's owner and name, who made it, and the revision of the change.
_OF_THE_EVENT = ("name", "organisation_id", "created_at", "created_by", "version")
_OF_A_KEY = ("hash", "former_hash", "retired", *_OF_THE_EVENT)


def provider(value: Provider) -> View:
    """Views a provider. Each credential is masked, so only their number is visible."""
    return {**_fields(value, without=_OF_THE_EVENT), "credentials": [MASK for _ in value.credentials]}


def organisation(value: Organisation) -> View:
    """Views an organisation. Its keys have events of their own."""
    return _fields(value, without=("id", *_OF_THE_EVENT))


def key(value: Key) -> View:
    """Views a key. Its public id distinguishes keys of one name; the name is included because it may change."""
    return {**_fields(value, without=_OF_A_KEY), "name": value.name, "value": MASK}


def node(value: Node) -> View:
    """Views a node. Its id distinguishes nodes of one name; the name is included because it may change."""
    return {**_fields(value, without=_OF_THE_EVENT), "name": value.name}


def join_token(value: JoinTokenRecord) -> View:
    """Views an invitation of a node. `id` is the public part of the token's value."""
    return {**_fields(value, without=_OF_THE_EVENT), "name": value.name, "value": MASK}


def user(value: User) -> View:
    """Views a user. The id distinguishes users of one address."""
    shown = _fields(value, without=("password_hash", *_OF_THE_EVENT))
    return {**shown, "name": value.name, "password": MASK if value.password_hash else ""}


def personal_token(value: PersonalToken) -> View:
    """Views a personal token without the time of its last use, which is no change."""
    return {**_fields(value, without=("user_id", "used_at", *_OF_THE_EVENT)), "value": MASK}


def invitation(value: Link, organisation: str) -> View:
    """Views an invitation of a user. `organisation` is the name; empty for none."""
    without = ("purpose", "email", "organisation_id", "user_id", *_OF_THE_EVENT)
    return {"organisation": organisation, **_fields(value, without=without), "value": MASK}


def gateway(value: Gateway) -> View:
    """Views the gateway's settings. Of the keys of token issuers, only the ids are included."""
    alerts = {"webhook": value.alerts.webhook, **({"secret": MASK} if value.alerts.secret else {})}
    password = MASK if value.cache_password else ""
    oidc = [{**_fields(each), "client_secret": MASK if each.client_secret else ""} for each in value.oidc]
    jwt = [{**_fields(each, without=("keys",)), "key_ids": list(each.key_ids)} for each in value.jwt]
    managers = {each.section: each.managed_by for each in value.managers}
    shown = _fields(value, without=("alerts", "oidc", "jwt", "managers", *_OF_THE_EVENT))
    return {**shown, "managers": managers, "alerts": alerts, "cache_password": password, "oidc": oidc, "jwt": jwt}


def route(value: Route) -> View:
    """Views a route. The event itself names its model."""
    return _fields(value, without=("id", "model", *_OF_THE_EVENT))


def _fields(value: Any, *, without: Collection[str] = ()) -> dict[str, Any]:
    return {
        field.name: _json(getattr(value, field.name))
        for field in dataclasses.fields(value)
        if field.name not in without
    }


def _json(value: Any) -> Any:
    match value:
        case Limit():
            return _limit(value)
        case NodesTarget() | ProviderTarget():
            return _target(value)
        case tuple():
            return [_json(each) for each in value]
        case _ if dataclasses.is_dataclass(value):
            return _fields(value)
        case _:
            return value


def _limit(limit: Limit) -> View:
    """Views a limit with its window in one form: seconds, or a calendar and its time zone."""
    shown = _fields(limit)
    if limit.calendar is None:
        del shown["calendar"], shown["time_zone"]
    else:
        del shown["per_seconds"]
        shown["time_zone"] = limit.time_zone or "UTC"
    for name in ("model", "each", "alerts_permille", "soft"):
        if not shown[name]:
            del shown[name]
    return shown


def _target(target: Target) -> View:
    shown = _fields(target, without=("prices",))
    if isinstance(target, NodesTarget):
        shown["nodes"] = shown.pop("model")
    # The latest change of the history, which need not be the last price to come into force.
    latest = max(target.prices, key=lambda price: price.version, default=None)
    return {**shown, "price": _json(latest)}
