"""Assembles the RouteConfiguration from the encoded entries of its routes.

One resource carries every route, and re-encoding 500 of them because one weight changed would take half a second.
Each entry is therefore encoded once, and the whole is joined from bytes. The tests compare the result with the
generated classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from envoy_data_plane.envoy.config.route.v3 import Route as EnvoyRoute
from envoy_data_plane.envoy.type.matcher.v3 import HttpRequestHeaderMatchInput
from envoy_data_plane.xds.core.v3 import TypedExtensionConfig
from envoy_data_plane.xds.type.matcher.v3 import MatcherOnMatch

from xds_server.protocol.wire import length_delimited, text
from xds_server.resources.encoding import pack
from xds_server.resources.names import ROUTE_CONFIGURATION, ROUTE_HEADER, route_key
from xds_server.resources.routes import AttemptLimits, model_route, no_own_nodes
from xds_server.resources.settings import EdgeSettings
from xds_server.resources.template import Template, text_placeholder
from xds_server.resources.variants import RouteVariant

# Field numbers: envoy/config/route/v3/{route,route_components}.proto and xds/type/matcher/v3/matcher.proto.
_ROUTE_CONFIGURATION_NAME, _ROUTE_CONFIGURATION_VIRTUAL_HOSTS, _ROUTE_CONFIGURATION_REMOVE = 1, 2, 8
_VIRTUAL_HOST_NAME, _VIRTUAL_HOST_DOMAINS, _VIRTUAL_HOST_MATCHER = 1, 2, 21
_MATCHER_TREE, _MATCHER_ON_NO_MATCH = 2, 3
_TREE_INPUT, _TREE_EXACT_MATCH_MAP, _TREE_PREFIX_MATCH_MAP = 1, 2, 3
_MAP_ENTRIES, _ENTRY_KEY, _ENTRY_VALUE = 1, 1, 2
_ON_MATCH_MATCHER = 1

#: Removed from every request once it is routed: the client's credentials in every form that an SDK may send them,
#: and headers that concern only the gateway. (`authorization` is overwritten or removed by the module, which also
#: removes headers that could choose for a target: envoy/module/ingress.c.) A
#: compressed answer would hide its usage.
REMOVED_FROM_REQUESTS = (
    "accept-encoding",
    "api-key",
    "cookie",
    "forwarded",
    "openai-organization",
    "openai-project",
    "x-api-key",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-goog-api-key",
    "x-request-id",
    "x-trunkline-tag",
    "x-trunkline-max-price",
    ROUTE_HEADER,
)


def entry(key: str, route: EnvoyRoute) -> bytes:
    """Encodes one entry of the matcher map: requests whose ROUTE_HEADER is `key` take `route`."""
    return _joined_entry(key, on_match_of(route))


def _joined_entry(key: str, on_match: bytes) -> bytes:
    return length_delimited(_MAP_ENTRIES, text(_ENTRY_KEY, key) + length_delimited(_ENTRY_VALUE, on_match))


def model_entries(variant: RouteVariant, edge: EdgeSettings) -> bytes:
    """Encodes the two entries of one variant of a model's route: for plain answers, and for streams."""
    return b"".join(
        _joined_entry(
            route_key(variant.route.id, variant.audience, stream=stream), _action(variant, edge, stream=stream)
        )
        for stream in (False, True)
    )


def fallback_entry(variant: RouteVariant, edge: EdgeSettings) -> bytes:
    """Encodes one entry for `prefixes` of `route_configuration`: everybody's variant, for audiences without their
    own.

    The translator may learn of an audience before Envoy does, and forget it later.
    """
    return _joined_entry(f"{variant.key}@", _action(variant, edge, stream=False))


def _action(variant: RouteVariant, edge: EdgeSettings, *, stream: bool) -> bytes:
    name = route_key(variant.route.id, variant.audience, stream=stream)
    if not variant.plan:
        return on_match_of(no_own_nodes(name))
    limits = AttemptLimits.of(variant.route.timeouts, variant.plan, stream=stream)
    return _template(limits, edge).fill({"name": name, "plan": variant.lines})


@lru_cache(maxsize=256)
def _template(limits: AttemptLimits, edge: EdgeSettings) -> Template:
    return Template(on_match_of(model_route(text_placeholder("name"), text_placeholder("plan"), limits, edge)))


def on_match_of(route: EnvoyRoute) -> bytes:
    """Encodes the matcher action that selects `route`."""
    action = TypedExtensionConfig(name="route", typed_config=pack("envoy.config.route.v3.Route", route))
    return bytes(MatcherOnMatch(action=action))


def header_input() -> bytes:
    """Encodes the matcher input: the value of ROUTE_HEADER."""
    header = HttpRequestHeaderMatchInput(header_name=ROUTE_HEADER)
    return bytes(
        TypedExtensionConfig(
            name="request-headers", typed_config=pack("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header)
        )
    )


def route_configuration(
    entries: Iterable[bytes],
    prefixes: Iterable[bytes] = (),
    *,
    key_input: bytes,
    no_match: bytes,
    virtual_host_fields: bytes = b"",
) -> bytes:
    """Encodes the RouteConfiguration: one virtual host whose matcher looks up ROUTE_HEADER among `entries`. A
    value that is not there is looked up among `prefixes`, where the longest matching prefix counts.

    `key_input` is `header_input()` and `no_match` an `on_match_of(…)`, both cached by the caller.
    `virtual_host_fields` are further encoded fields of the virtual host.
    """
    if by_prefix := b"".join(prefixes):
        second = _matcher(key_input, _TREE_PREFIX_MATCH_MAP, by_prefix, no_match)
        no_match = length_delimited(_ON_MATCH_MATCHER, second)
    virtual_host = (
        text(_VIRTUAL_HOST_NAME, ROUTE_CONFIGURATION)
        + text(_VIRTUAL_HOST_DOMAINS, "*")
        + length_delimited(
            _VIRTUAL_HOST_MATCHER,
            _matcher(key_input, _TREE_EXACT_MATCH_MAP, b"".join(entries), no_match),
        )
        + virtual_host_fields
    )
    return (
        text(_ROUTE_CONFIGURATION_NAME, ROUTE_CONFIGURATION)
        + length_delimited(_ROUTE_CONFIGURATION_VIRTUAL_HOSTS, virtual_host)
        + b"".join(text(_ROUTE_CONFIGURATION_REMOVE, name) for name in REMOVED_FROM_REQUESTS)
    )


def _matcher(key_input: bytes, kind: int, entries: bytes, no_match: bytes) -> bytes:
    tree = length_delimited(_TREE_INPUT, key_input) + length_delimited(kind, entries)
    return length_delimited(_MATCHER_TREE, tree) + length_delimited(_MATCHER_ON_NO_MATCH, no_match)
