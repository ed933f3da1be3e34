"""Behind the tunnel listener: where Envoy takes tunnels over, keeps them, and sends requests through them.

A node's upgraded connection goes to a listener on loopback, whose filter keeps it as an idle tunnel of the node
that the listener in front has named. A pool's endpoint is the internal listener `tunnel-egress` with the node's
id; from there a request takes the tunnel that NODE_HEADER names. (The detour is needed because an aggregate
cluster never chose one of the tunnels by itself.)
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterCustomClusterType,
    ClusterDiscoveryType,
    ClusterLbPolicy,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Http2ProtocolOptions,
    HttpProtocolOptions,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.listener.v3 import (
    Filter,
    FilterChain,
    Listener,
    ListenerInternalListenerConfig,
)
from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.clusters.reverse_connection.v3 import ReverseConnectionClusterConfig
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerServerHeaderTransformation as ServerHeader,
)
from envoy_data_plane.envoy.extensions.filters.network.reverse_tunnel.v3 import ReverseTunnel

from xds_server.resources import names
from xds_server.resources.encoding import pack, tcp
from xds_server.resources.listeners import http_listener_filter, router
from xds_server.resources.local_replies import local_replies
from xds_server.resources.pool_cluster import CONNECTION_WINDOW, STREAM_WINDOW, http2
from xds_server.resources.settings import EdgeSettings
from xds_server.resources.targets import PROTOCOL_OPTIONS, UNLIMITED

#: Interval of pings while nothing has gone through a tunnel yet; three unanswered ones end it.
IDLE_PING = timedelta(seconds=2)


def handshake_cluster(edge: EdgeSettings) -> Cluster:
    """Returns the cluster from the tunnel listener to the handshake's listener: one connection for each tunnel."""
    endpoint = LbEndpoint(endpoint=Endpoint(address=tcp(*edge.tunnel_handshake_listen)))
    return Cluster(
        name=names.TUNNEL_HANDSHAKE_CLUSTER,
        type=ClusterDiscoveryType.STATIC,
        connect_timeout=timedelta(seconds=2),
        load_assignment=ClusterLoadAssignment(
            cluster_name=names.TUNNEL_HANDSHAKE_CLUSTER, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]
        ),
        circuit_breakers=UNLIMITED,
    )


def handshake_listener(edge: EdgeSettings) -> Listener:
    """Returns the listener that believes which node a tunnel belongs to, and therefore accepts only Envoy itself.

    A Unix socket would be the natural place for it, but Envoy aborts if it uses one as a tunnel (TCP_NODELAY;
    1.40.0). The secret stands where a dialling Envoy would name its cluster, the only word for which the filter
    demands an exact value.
    """
    tunnel = ReverseTunnel(
        ping_interval=IDLE_PING, use_http_upgrade=True, required_cluster_name=edge.tunnel_secret
    )
    return Listener(
        name=names.TUNNEL_HANDSHAKE_LISTENER,
        address=tcp(*edge.tunnel_handshake_listen),
        # The connections that arrive here have been counted where they came from.
        ignore_global_conn_limit=True,
        filter_chains=[
            FilterChain(
                filters=[
                    Filter(
                        name="envoy.filters.network.reverse_tunnel",
                        typed_config=pack(
                            "envoy.extensions.filters.network.reverse_tunnel.v3.ReverseTunnel", tunnel
                        ),
                    )
                ]
            )
        ],
    )


def tunnels_cluster() -> Cluster:
    """Returns the cluster of every tunnel that nodes hold open here; requests name the node."""
    config = ReverseConnectionClusterConfig(host_id_format=f"%REQ({names.NODE_HEADER})%")
    return Cluster(
        name=names.TUNNELS_CLUSTER,
        connect_timeout=timedelta(seconds=2),
        lb_policy=ClusterLbPolicy.CLUSTER_PROVIDED,
        cluster_type=ClusterCustomClusterType(
            name="envoy.clusters.reverse_connection",
            typed_config=pack(
                "envoy.extensions.clusters.reverse_connection.v3.ReverseConnectionClusterConfig", config
            ),
        ),
        # A tunnel must not be closed for being idle: the node would only open another.
        typed_extension_protocol_options={PROTOCOL_OPTIONS: http2(idle_timeout=timedelta())},
        circuit_breakers=UNLIMITED,
    )


def egress_listener(edge: EdgeSettings) -> Listener:
    """Returns the listener from pools into tunnels. It reports what is wrong in a tunnel as the clients' listener
    does.

    Time limits are those of the client's route: here they would cut long streams.
    """
    manager = HttpConnectionManager(
        stat_prefix=names.TUNNEL_EGRESS_LISTENER,
        server_header_transformation=ServerHeader.PASS_THROUGH,
        use_remote_address=False,
        skip_xff_append=True,
        generate_request_id=False,
        common_http_protocol_options=HttpProtocolOptions(idle_timeout=timedelta(hours=1)),
        http2_protocol_options=Http2ProtocolOptions(
            initial_stream_window_size=STREAM_WINDOW, initial_connection_window_size=CONNECTION_WINDOW
        ),
        stream_idle_timeout=timedelta(),
        route_config=RouteConfiguration(
            name=names.TUNNEL_EGRESS_LISTENER,
            virtual_hosts=[
                VirtualHost(
                    name=names.TUNNEL_EGRESS_LISTENER,
                    domains=["*"],
                    routes=[
                        Route(
                            match=RouteMatch(prefix="/"),
                            route=RouteAction(
                                cluster=names.TUNNELS_CLUSTER, timeout=timedelta(), idle_timeout=timedelta()
                            ),
                        )
                    ],
                )
            ],
        ),
        http_filters=[router()],
        local_reply_config=local_replies(edge.max_body_bytes),
    )
    return Listener(
        name=names.TUNNEL_EGRESS_LISTENER,
        internal_listener=ListenerInternalListenerConfig(),
        filter_chains=[FilterChain(filters=[http_listener_filter(manager)])],
    )
