"""Names that more than one resource refers to."""

from __future__ import annotations

from xds_server.model import Target

OPENAI_LISTENER = "openai"
ADMIN_LISTENER = "admin"
ROUTE_CONFIGURATION = "openai"

#: Static clusters of Envoy's bootstrap.
XDS_CLUSTER = "xds"
TRANSLATOR_CLUSTER = "translator"
ENVOY_ADMIN_CLUSTER = "envoy_admin"

#: Set by the translator on every request that it lets through; the value is a `route_key`.
ROUTE_HEADER = "x-trunkline-route"
#: The value of ROUTE_HEADER for what the translator answers itself (`/v1/models`).
TRANSLATOR_ROUTE = "translator"
#: Namespace of the endpoint metadata that the chain's filters and the access log read.
METADATA = "trunkline"


def target_cluster(target: Target, credential: int = 0) -> str:
    """The cluster of one target; a provider's second credential makes a second cluster, `…#2`."""
    return target.id if credential == 0 else f"{target.id}#{credential + 1}"


def chain_cluster(route_id: str, first: str) -> str:
    """The aggregate cluster of a route that starts at the target cluster `first`."""
    return f"{route_id}>{first}"


def route_key(route_id: str, *, stream: bool) -> str:
    """The value of ROUTE_HEADER: the route's id, with `:stream` for a streamed answer."""
    return f"{route_id}:stream" if stream else route_id
