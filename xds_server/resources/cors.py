"""Configures CORS: a filter of Envoy that is off until routes enable it.

The filter is always in the listener. Its policy is part of the route configuration, so that changing the policy
drains no connection.
"""

from __future__ import annotations

import re
from functools import lru_cache

from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.route.v3 import Route as EnvoyRoute, RouteAction, RouteMatch, VirtualHost
from envoy_data_plane.envoy.extensions.filters.http.cors.v3 import Cors as CorsFilter, CorsPolicy
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher

from xds_server.model import Cors
from xds_server.resources.encoding import pack

FILTER = "envoy.filters.http.cors"
#: Chromium caches preflights no longer than this.
DEFAULT_MAX_AGE_SECONDS = 7_200
METHODS = "GET, HEAD, POST"
#: Response headers that pages may read in addition to those that every page may read.
EXPOSED = (
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    *(f"x-ratelimit-{what}-{of}" for of in ("requests", "tokens") for what in ("limit", "remaining", "reset")),
    "x-trunkline-target",
    "x-trunkline-attempts",
    "x-trunkline-upstream-request-id",
)
_LABEL = "[a-z0-9_-]+"


def cors_filter() -> HttpFilter:
    """Returns the filter, which goes before all other filters: preflights carry no key."""
    config = pack("envoy.extensions.filters.http.cors.v3.Cors", CorsFilter())
    return HttpFilter(name=FILTER, typed_config=config, disabled=True)


@lru_cache(maxsize=4)
def virtual_host_fields(cors: Cors) -> bytes:
    """Returns the encoded fields of a VirtualHost that turn the filter on; empty without origins."""
    if not cors.origins:
        return b""
    policy = CorsPolicy(
        allow_origin_string_match=[_matcher(each) for each in cors.origins],
        allow_methods=METHODS,
        # Every header that the browser requests: SDKs add new ones with every version.
        allow_headers="*",
        expose_headers=", ".join(EXPOSED),
        max_age=str(cors.max_age_seconds or DEFAULT_MAX_AGE_SECONDS),
        # Lets pages on the internet reach the gateway of a home network.
        allow_private_network_access=True,
        forward_not_matching_preflights=False,
    )
    vary = HeaderValueOption(
        header=HeaderValue(key="vary", value="Origin"),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    fields = VirtualHost(
        typed_per_filter_config={FILTER: pack("envoy.extensions.filters.http.cors.v3.CorsPolicy", policy)},
        response_headers_to_add=[vary],
    )
    return bytes(fields)


def unchecked_route() -> EnvoyRoute:
    """Returns the route that a request matches until it is checked: the filter looks for its policy only at routes
    to clusters. No request takes this route, whose cluster does not exist.
    """
    return EnvoyRoute(name="unchecked", match=RouteMatch(prefix="/"), route=RouteAction(cluster="none"))


def _matcher(origin: str) -> StringMatcher:
    bare = origin.removesuffix(":*")
    if origin == "*" or (bare == origin and "://*." not in origin):
        return StringMatcher(exact=origin)
    pattern = re.escape(bare).replace(r"://\*\.", rf"://(?:{_LABEL}\.)+")
    return StringMatcher(safe_regex=RegexMatcher(regex=pattern + ("(?::[0-9]+)?" if bare != origin else "")))
