"""Names that more than one resource refers to."""

from __future__ import annotations

from xds_server.model import Target

OPENAI_LISTENER = "openai"
ADMIN_LISTENER = "admin"
ROUTE_CONFIGURATION = "openai"
#: The listener that nodes call, the one where their tunnels are handed over, and the one that leads from pools
#: into tunnels.
TUNNEL_LISTENER = "tunnel"
TUNNEL_HANDSHAKE_LISTENER = "tunnel-handshake"
TUNNEL_EGRESS_LISTENER = "tunnel-egress"

#: The copy of the clients' listener for the console's playground, and the cluster that leads there.
PLAYGROUND_LISTENER = "playground"
PLAYGROUND_CLUSTER = "playground"

#: Clusters of nodes: the handshake's listener, and the tunnels themselves, selected by NODE_HEADER.
TUNNEL_HANDSHAKE_CLUSTER = "tunnel-handshake"
TUNNELS_CLUSTER = "tunnels"

#: Secrets: this gateway's certificate, and the CA of its nodes.
GATEWAY_SECRET = "gateway"  # noqa: S105  # a name
NODES_CA_SECRET = "nodes-ca"  # noqa: S105  # a name
#: The operator's certificate for the other listeners, and the CA of their clients.
LISTENERS_SECRET = "listeners"  # noqa: S105  # a name
CLIENT_CA_SECRET = "client-ca"  # noqa: S105  # a name

#: Static clusters of Envoy's bootstrap.
XDS_CLUSTER = "xds"
TRANSLATOR_CLUSTER = "translator"
REST_CLUSTER = "rest"
ENVOY_ADMIN_CLUSTER = "envoy_admin"

#: Set by the translator on every request that it lets through; the value is a `route_key`.
ROUTE_HEADER = "x-trunkline-route"
#: The prefix of every value that is a `route_key`, and of no other value.
ROUTE_ID_PREFIX = "rt_"
#: Set by the module on attempts that go to a node: the node's id.
NODE_HEADER = "x-trunkline-node"
#: The value of ROUTE_HEADER for requests that the translator answers itself (`/v1/models`).
TRANSLATOR_ROUTE = "translator"
#: Namespace of the endpoint metadata that the module and the access log read.
METADATA = "trunkline"


def target_cluster(target: Target, credential: int = 0) -> str:
    """Returns the cluster of one target; a provider's second credential has a cluster of its own, `…#2`."""
    return target.id if credential == 0 else f"{target.id}#{credential + 1}"


def route_key(route_id: str, audience: str = "", *, stream: bool = False) -> str:
    """Returns the value of ROUTE_HEADER: the route's id, `@` and the audience if it has one, `:stream` for
    streams.
    """
    return route_id + (f"@{audience}" if audience else "") + (":stream" if stream else "")
