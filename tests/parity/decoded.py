"""The translator's values for policy messages, in a form that can be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.parity import fields
from translator.ledger.prices import PriceBook
from translator.limits import LimitSet
from translator.policy.index import PolicyIndex
from translator.policy.pricing import Ceiling
from translator.tokens import AccessTokens
from xds_server.accounts.settings import JwtIssuer
from xds_server.model import DesiredState, Route
from xds_server.resources import policy as resources

_NOW = 2_000_000_000
Messages = tuple[list[policy.Organisation], list[policy.Key], list[policy.JwtIssuer], list[policy.Route]]


def of_state(state: DesiredState) -> Any:
    """Returns the values that translators have for this state."""
    return of_messages(
        [
            policy.Organisation.FromString(resources.organisation(each, state.gateway.defaults))
            for each in state.organisations.values()
        ],
        [policy.Key.FromString(resources.key(each)) for each in state.keys.values()],
        [
            policy.JwtIssuer.FromString(resources.jwt_issuer(each, _granted(state, each)))
            for each in state.gateway.jwt
        ],
        [
            policy.Route.FromString(resources.route(each, _NOW, cache=_cache(state, each)))
            for each in state.routes.values()
        ],
    )


def _cache(state: DesiredState, route: Route) -> resources.RouteCache | None:
    return resources.route_cache(route, resources.shared_cache(state.gateway), state.providers)


def _granted(state: DesiredState, issuer: JwtIssuer) -> list[str]:
    found = resources.granted_keys(state)
    return [found.get((each.organisation, each.key), "") for each in issuer.grants]


def of_messages(
    organisations: list[policy.Organisation],
    keys: list[policy.Key],
    issuers: list[policy.JwtIssuer],
    routes: list[policy.Route],
) -> Any:
    index, prices = PolicyIndex(), PriceBook()
    tokens = AccessTokens(index.key_by_id)
    for organisation in organisations:
        index.put_organisation(organisation)
    for key in keys:
        index.put_key(key)
    for issuer in issuers:
        tokens.put(issuer)
    for route in routes:
        index.put_route(route)
        prices.put(route)
    return _plain(vars(index)), _plain(tokens._issuers), sorted(map(_plain, prices.entries()))


def cases(kind: type[Message], field: str) -> Iterator[tuple[str, Messages, Messages]]:
    """Yields messages with and without the field, for every value and every place of a message of `kind`."""
    descriptor = kind.DESCRIPTOR.fields_by_name[field]
    for where, find in _PLACES[kind.DESCRIPTOR.name].items():
        for value in _VALUES.get(f"{kind.DESCRIPTOR.name}.{field}") or fields.values(descriptor):
            before, after = _messages(), _messages()
            if field in {"calendar", "time_zone"}:
                for each in (before, after):
                    find(each).ClearField("per_seconds")
                    find(each).calendar = policy.CALENDAR_WEEK if field == "calendar" else policy.CALENDAR_DAY
            if getattr(find(before), field) == value:
                continue
            fields.put(find(after), field, value)
            yield where, before, after


_VALUES: dict[str, list[Any]] = {
    "Limit.time_zone": ["Europe/Berlin"],
    "Price.valid_from": [7],
    # Translators do not distinguish `none` from an affinity that is not stated.
    "Route.affinity": [policy.AFFINITY_POOL, policy.AFFINITY_CONVERSATION, policy.AFFINITY_USER],
    "Route.prompt_cache_key": [policy.PROMPT_CACHE_KEY_CONVERSATION, policy.PROMPT_CACHE_KEY_USER],
    # An unspecified scope is the organisation's.
    "Route.cache_scope": [policy.CACHE_SCOPE_KEY, policy.CACHE_SCOPE_USER],
}
_PLACES: dict[str, dict[str, Any]] = {
    "Organisation": {"": lambda of: of[0][0]},
    "DefaultModel": {"": lambda of: of[0][0].defaults[0]},
    "Key": {"": lambda of: of[1][0]},
    "JwtIssuer": {"": lambda of: of[2][0]},
    "JwtGrant": {"": lambda of: of[2][0].grants[0]},
    "Route": {"": lambda of: of[3][0]},
    "Target": {"": lambda of: of[3][0].targets[0]},
    "Price": {"": lambda of: of[3][0].targets[0].prices[0]},
    "ImagePrice": {"": lambda of: of[3][0].targets[0].prices[0].images[0]},
    "ContextTier": {
        "": lambda of: of[3][0].targets[0].prices[0].tiers[0],
        " of a service tier": lambda of: of[3][0].targets[0].prices[0].service_tiers[0].tiers[0],
    },
    "ServiceTier": {"": lambda of: of[3][0].targets[0].prices[0].service_tiers[0]},
    "Rates": {
        " of a context tier": lambda of: of[3][0].targets[0].prices[0].tiers[0].rates,
        " of a service tier": lambda of: of[3][0].targets[0].prices[0].service_tiers[0].rates,
    },
    "Limit": {
        " of an organisation": lambda of: of[0][0].limits[0],
        " of a key": lambda of: of[1][0].limits[0],
        " of a route": lambda of: of[3][0].limits[0],
    },
}


def _messages() -> Messages:
    limits = [policy.Limit(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=600)]
    rates = policy.Rates(input=3_000_000, output=9_000_000)
    tiers = [policy.ContextTier(above=200_000, rates=rates)]
    price = policy.Price(
        input=2_000_000,
        output=8_000_000,
        version=1,
        images=[policy.ImagePrice(name="default", price=40_000)],
        tiers=tiers,
        service_tiers=[policy.ServiceTier(name="flex", rates=rates, tiers=tiers)],
    )
    return (
        [
            policy.Organisation(
                id="org",
                name="acme",
                limits=limits,
                defaults=[policy.DefaultModel(endpoint="moderations", model="m")],
            )
        ],
        [
            policy.Key(
                id="key",
                organisation_id="org",
                name="ci",
                hash=b"h" * 32,
                models=["*"],
                limits=limits,
                former_hash=b"f" * 32,
                former_until=5,
                priority=policy.PRIORITY_LOW,
            )
        ],
        [
            policy.JwtIssuer(
                id="corp",
                issuer="https://login.example",
                audiences=["api"],
                keys='{"keys": []}',
                grants=[policy.JwtGrant(claim="groups", value="staff", key_id="key")],
            )
        ],
        [
            policy.Route(
                id="rt",
                model="m",
                organisation_id="org",
                targets=[policy.Target(id="p/x", prices=[price])],
                limits=limits,
                cache_ttl_seconds=60,
                queue_longest_ms=30_000,
            )
        ],
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Ceiling):  # which keeps the messages themselves
        return value.cost(10**9, 10**9, _NOW)
    if isinstance(value, LimitSet):
        return _plain([value._general, value._by_model])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [_plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, dict):
        return sorted(((repr(key), _plain(each)) for key, each in value.items()), key=repr)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "__dict__") and not callable(value):
        return _plain(vars(value))
    return None if callable(value) else value
