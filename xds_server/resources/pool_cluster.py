"""The cluster of a pool of nodes: HTTP/2, through their tunnels or directly with TLS."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
    ClusterTransportSocketMatch,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Http2ProtocolOptions,
    HttpProtocolOptions as CommonHttpProtocolOptions,
    KeepaliveSettings,
    TransportSocket,
)
from envoy_data_plane.envoy.extensions.transport_sockets.raw_buffer.v3 import RawBuffer
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import UpstreamTlsContext
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any, Struct, Value

from xds_server.resources.encoding import metadata, pack
from xds_server.resources.module import module_balancer
from xds_server.resources.secrets import between_gateway_and_nodes
from xds_server.resources.targets import (
    ADS,
    DEFAULT_CONNECT_MS,
    IDLE,
    PROTOCOL_OPTIONS,
    UNLIMITED,
    keepalive,
)
from xds_server.resources.template import Template, text_placeholder

#: Metadata of endpoints behind a tunnel, which already runs through a connection with TLS. All others get TLS
#: here.
THROUGH_TUNNEL = metadata("envoy.transport_socket_match", {"through": "tunnel"})

#: Shorter than a provider's: a node's own reports remove it from its pools for as long as it is unhealthy.
MAX_EJECTION = timedelta(seconds=15)

#: Bytes that one answer may have in flight while its client does not read, and all answers of a connection
#: together: 256 such answers before they delay the others.
STREAM_WINDOW = 256 * 1024
CONNECTION_WINDOW = 64 * 1024 * 1024


def pool_cluster(name: str, connect_ms: int, *, direct: bool) -> Cluster:
    """Returns the cluster `name`: its endpoints come over EDS. `connect_ms` 0 is the default.

    With `direct`, endpoints may be reached without a tunnel. A node proves who it is by a certificate of the
    nodes' CA with its id, which is the endpoint's hostname, and the gateway presents its own certificate.
    """
    tunnelled = ClusterTransportSocketMatch(
        name="tunnel",
        match=Struct(fields={"through": Value(string_value="tunnel")}),
        transport_socket=TransportSocket(
            name="envoy.transport_sockets.raw_buffer",
            typed_config=pack("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer", RawBuffer()),
        ),
    )
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(eds_config=ADS),
        load_balancing_policy=module_balancer("pool"),
        connect_timeout=timedelta(milliseconds=connect_ms or DEFAULT_CONNECT_MS),
        typed_extension_protocol_options={PROTOCOL_OPTIONS: http2(idle_timeout=IDLE)},
        transport_socket=_tls() if direct else None,
        transport_socket_matches=[tunnelled] if direct else [],
        outlier_detection=_ejection(),
        # By default, Envoy would hold back changes of health for a second.
        common_lb_config=ClusterCommonLbConfig(
            healthy_panic_threshold=Percent(value=0.0), update_merge_window=timedelta()
        ),
        circuit_breakers=UNLIMITED,
        upstream_connection_options=keepalive(),
    )


def encoded_pool_cluster(name: str, connect_ms: int, *, direct: bool) -> bytes:
    """Encodes the cluster that `pool_cluster` returns."""
    return _template(connect_ms, direct=direct).fill({"name": name})


@lru_cache(maxsize=64)
def _template(connect_ms: int, *, direct: bool) -> Template:
    return Template(bytes(pool_cluster(text_placeholder("name"), connect_ms, direct=direct)))


def http2(*, idle_timeout: timedelta) -> Any:
    """Returns a cluster's protocol options: HTTP/2 without negotiation. A frozen node is detected within 8 s."""
    ping = KeepaliveSettings(interval=timedelta(seconds=3), timeout=timedelta(seconds=5))
    options = HttpProtocolOptions(
        common_http_protocol_options=CommonHttpProtocolOptions(idle_timeout=idle_timeout),
        explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
            http2_protocol_options=Http2ProtocolOptions(
                connection_keepalive=ping,
                initial_stream_window_size=STREAM_WINDOW,
                initial_connection_window_size=CONNECTION_WINDOW,
            )
        ),
    )
    return pack(PROTOCOL_OPTIONS, options)


def _ejection() -> OutlierDetection:
    """Ejects a machine for 5 s, longer each time; then live traffic probes it.

    The module decides when (envoy/module/hosts.h): the one status from 500 on that Envoy sees from a machine is
    the module's signal. What Envoy itself counts, of connections and time limits, ejects nothing.
    """
    return OutlierDetection(
        consecutive_5xx=1,
        interval=timedelta(seconds=1),
        base_ejection_time=timedelta(seconds=5),
        max_ejection_time=MAX_EJECTION,
        max_ejection_percent=100,
        enforcing_consecutive_gateway_failure=0,
        enforcing_success_rate=0,
        split_external_local_origin_errors=True,
        enforcing_consecutive_local_origin_failure=0,
        enforcing_local_origin_success_rate=0,
    )


def _tls() -> TransportSocket:
    context = UpstreamTlsContext(
        auto_host_sni=True,
        auto_sni_san_validation=True,
        # The certificate of a resumed session would not be checked again.
        max_session_keys=0,
        common_tls_context=between_gateway_and_nodes("h2"),
    )
    return TransportSocket(
        name="envoy.transport_sockets.tls",
        typed_config=pack("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", context),
    )
