"""The resources that every Envoy gets in any desired state: listeners, the clusters of tunnels,
certificates.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.listener.v3 import Listener

from xds_server.protocol.snapshot import CLUSTER, LISTENER, SECRET, Resource
from xds_server.resources import listeners, playground, tunnels
from xds_server.resources.secrets import listener_secrets, secrets
from xds_server.resources.settings import EdgeSettings, GatewayTls, ListenerTls
from xds_server.resources.tunnel_listener import tunnel_listener


def edge_resources(
    edge: EdgeSettings, tls: GatewayTls | None, listener_tls: ListenerTls | None = None
) -> dict[str, dict[str, Resource]]:
    """Returns type URL → name → resource. There are no tunnels without `tls` or without a tunnel listener. Without
    `listener_tls` the listeners of clients and operators speak plain HTTP.

    Raises:
        ValueError: tunnels without a secret.
    """
    every_listener = [
        listeners.openai_listener(edge, listener_tls),
        listeners.admin_listener(edge, listener_tls),
        listeners.playground_listener(edge),
    ]
    every_secret = listener_secrets(listener_tls) if listener_tls is not None else {}
    clusters: list[Cluster] = [playground.cluster()]
    if tls is not None and edge.tunnel_listen is not None:
        if not edge.tunnel_secret:
            raise ValueError("a tunnel listener needs a tunnel_secret")
        every_listener += [
            tunnel_listener(edge, edge.tunnel_listen, tls),
            tunnels.handshake_listener(edge),
            tunnels.egress_listener(edge),
        ]
        clusters += [tunnels.handshake_cluster(edge), tunnels.tunnels_cluster()]
    return {
        SECRET: every_secret | (secrets(tls) if tls is not None else {}),
        CLUSTER: _by_name(CLUSTER, clusters),
        LISTENER: _by_name(LISTENER, every_listener),
    }


def _by_name(type_url: str, messages: list[Cluster] | list[Listener]) -> dict[str, Resource]:
    return {each.name: Resource.of(type_url, each.name, bytes(each)) for each in messages}
