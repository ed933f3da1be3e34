"""Connects the console to the clients' API inside Envoy: the playground calls models like any client, with an API
key, and needs neither another origin (CORS) nor the clients' address, certificate or TLS.

A path below PREFIX of the admin listener goes to an internal listener that equals the clients' in all but its
address.
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    EnvoyInternalAddress,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.route.v3 import Route, RouteAction, RouteMatch

from xds_server.resources import names
from xds_server.resources.targets import UNLIMITED

PREFIX = "/console/v1/"
#: The answer's id in the ledger; `x-request-id` is the admin listener's own.
REQUEST_ID = "x-trunkline-request-id"
#: A browser that opens a target's answer as a page runs nothing in it.
_HARMLESS = {
    "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    REQUEST_ID: "%RESP(x-request-id)%",
}


def route() -> Route:
    """Returns the route of the admin listener. It removes the console's session, which no target should see."""
    return Route(
        match=RouteMatch(prefix=PREFIX),
        route=RouteAction(
            cluster=names.PLAYGROUND_CLUSTER, prefix_rewrite="/v1/", timeout=timedelta(), idle_timeout=timedelta()
        ),
        request_headers_to_remove=["cookie"],
        response_headers_to_remove=["set-cookie"],
        response_headers_to_add=[
            HeaderValueOption(
                header=HeaderValue(key=name, value=value),
                append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
            )
            for name, value in _HARMLESS.items()
        ],
    )


def cluster() -> Cluster:
    """Returns a cluster with one endpoint: the internal listener."""
    internal = EnvoyInternalAddress(server_listener_name=names.PLAYGROUND_LISTENER)
    endpoint = LbEndpoint(endpoint=Endpoint(address=Address(envoy_internal_address=internal)))
    return Cluster(
        name=names.PLAYGROUND_CLUSTER,
        type=ClusterDiscoveryType.STATIC,
        connect_timeout=timedelta(seconds=2),
        load_assignment=ClusterLoadAssignment(
            cluster_name=names.PLAYGROUND_CLUSTER, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]
        ),
        circuit_breakers=UNLIMITED,
    )
