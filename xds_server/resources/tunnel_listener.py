"""The one port that nodes call: enrolment, reports over gRPC, and the tunnels that they open. See docs/nodes.md.

A node's certificate says which node it is. Everything that a request claims about that is removed on arrival, and
what goes on to the control plane or to the tunnels is what Envoy has read from the certificate itself.
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    KeepaliveSettings,
    RuntimeUInt32,
    TransportSocket,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.config.rbac.v3 import Permission, Policy, Principal, Rbac
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    HeaderMatcher,
    Route,
    RouteAction,
    RouteActionUpgradeConfig,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac as RbacFilter, RbacPerRoute
from envoy_data_plane.envoy.extensions.filters.network.connection_limit.v3 import ConnectionLimit
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerForwardClientCertDetails as ForwardClientCert,
    HttpConnectionManagerPathWithEscapedSlashesAction as EscapedSlashes,
    HttpConnectionManagerSetCurrentClientCertDetails as ClientCertDetails,
    HttpConnectionManagerUpgradeConfig,
    HttpFilter,
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.envoy.extensions.rbac.principals.mtls_authenticated.v3 import Config as MtlsAuthenticated
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    DownstreamTlsContext,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher

from xds_server.resources import names
from xds_server.resources.encoding import extension, pack, tcp
from xds_server.resources.listeners import (
    CONNECTION_WINDOW,
    STREAM_WINDOW,
    early_removal,
    http_listener_filter,
    router,
)
from xds_server.resources.secrets import between_gateway_and_nodes
from xds_server.resources.settings import EdgeSettings, GatewayTls

HANDSHAKE_PATH = "/reverse_connections/request"
UPGRADE = "reverse-tunnel"
REGISTRY = "/trunkline.node.v1.NodeRegistry/"
CA_PATH = "/ca.pem"
#: The DNS name in a node's certificate, which is its id.
NODE_ID = r"nd-[a-z2-7]{16}"
#: The headers that Envoy reads from a handshake: a caller that names a node in them receives the node's traffic.
_IDENTITY = tuple(f"x-envoy-reverse-tunnel-{part}-id" for part in ("node", "cluster", "tenant"))
#: Shows the handshake's listener that Envoy itself is calling.
_SECRET = "x-envoy-reverse-tunnel-upstream-cluster-name"  # noqa: S105  # a name
_CLAIMS = r"x-envoy-.*|x-trunkline-.*|x-forwarded-.*"

#: Room for some thousands of nodes with a few connections each.
_MAX_CONNECTIONS = 20_000
#: How long a stranger may take before it has said what it wants.
_HURRY = timedelta(seconds=10)
_NOT_A_NODE = (
    "This needs a certificate that this gateway has issued to a node, and that is still valid. "
    "Join again: trunkline-node join.\n"
)


def tunnel_listener(edge: EdgeSettings, listen: tuple[str, int], tls: GatewayTls) -> Listener:
    """Returns the listener at `listen`. Of `tls` only the CA is part of it; the certificates arrive as secrets."""
    context = DownstreamTlsContext(
        common_tls_context=between_gateway_and_nodes("h2", "http/1.1"),
        require_client_certificate=False,
        # The certificate of a resumed session would not be checked again.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )
    limit = ConnectionLimit(stat_prefix=names.TUNNEL_LISTENER, max_connections=_MAX_CONNECTIONS)
    chain = FilterChain(
        filters=[
            Filter(
                name="envoy.filters.network.connection_limit",
                typed_config=pack("envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit", limit),
            ),
            http_listener_filter(_manager(edge, tls)),
        ],
        transport_socket=TransportSocket(
            name="envoy.transport_sockets.tls",
            typed_config=pack("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", context),
        ),
        transport_socket_connect_timeout=_HURRY,
    )
    return Listener(
        name=names.TUNNEL_LISTENER,
        address=tcp(*listen),
        filter_chains=[chain],
        # The most that is buffered for a node that does not read.
        per_connection_buffer_limit_bytes=256 * 1024,
        # The listener has a limit of its own.
        ignore_global_conn_limit=True,
    )


def _manager(edge: EdgeSettings, tls: GatewayTls) -> HttpConnectionManager:
    return HttpConnectionManager(
        stat_prefix=names.TUNNEL_LISTENER,
        server_name="trunkline",
        use_remote_address=True,
        skip_xff_append=True,
        generate_request_id=False,
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action=EscapedSlashes.REJECT_REQUEST,
        max_request_headers_kb=16,
        # Only for connections without a stream; a tunnel or a report may last for any time.
        common_http_protocol_options=HttpProtocolOptions(idle_timeout=timedelta(seconds=60)),
        http2_protocol_options=Http2ProtocolOptions(
            max_concurrent_streams=64,
            initial_stream_window_size=STREAM_WINDOW,
            initial_connection_window_size=CONNECTION_WINDOW,
            # Detects a frozen sidecar's reports; its tunnels have pings of their own.
            connection_keepalive=KeepaliveSettings(interval=timedelta(seconds=10), timeout=timedelta(seconds=10)),
        ),
        request_headers_timeout=_HURRY,
        stream_idle_timeout=timedelta(seconds=60),
        forward_client_cert_details=ForwardClientCert.SANITIZE_SET,
        set_current_client_cert_details=ClientCertDetails(dns=True),
        early_header_mutation_extensions=[early_removal(_CLAIMS)],
        upgrade_configs=[HttpConnectionManagerUpgradeConfig(upgrade_type=UPGRADE, enabled=False)],
        route_config=RouteConfiguration(
            name=names.TUNNEL_LISTENER,
            virtual_hosts=[VirtualHost(name=names.TUNNEL_LISTENER, domains=["*"], routes=_routes(edge, tls))],
        ),
        http_filters=[
            # Requires nothing by itself; the routes that need a certificate have rules.
            HttpFilter(name=_RBAC, typed_config=pack("envoy.extensions.filters.http.rbac.v3.RBAC", RbacFilter())),
            router(),
        ],
        local_reply_config=LocalReplyConfig(
            mappers=[ResponseMapper(filter=_refused(), body=DataSource(inline_string=_NOT_A_NODE))]
        ),
    )


def _routes(edge: EdgeSettings, tls: GatewayTls) -> list[Route]:
    """Returns the routes. No other path may ever lead to the control plane: on its socket Envoy may do
    everything.
    """
    only_nodes = {_RBAC: pack("envoy.extensions.filters.http.rbac.v3.RBACPerRoute", _only_nodes())}
    return [
        Route(
            match=RouteMatch(path=CA_PATH),
            direct_response=DirectResponseAction(status=200, body=DataSource(inline_string=tls.ca_pem)),
            response_headers_to_add=[_header("content-type", "application/x-pem-file")],
        ),
        Route(
            match=RouteMatch(path=f"{REGISTRY}Enrol"),
            route=RouteAction(cluster=names.XDS_CLUSTER, timeout=timedelta(seconds=30)),
        ),
        Route(
            match=RouteMatch(safe_regex=RegexMatcher(regex=REGISTRY.replace(".", r"\.") + "[A-Za-z]+")),
            route=RouteAction(cluster=names.XDS_CLUSTER, timeout=timedelta(), idle_timeout=timedelta()),
            typed_per_filter_config=only_nodes,
        ),
        Route(
            match=RouteMatch(
                path=HANDSHAKE_PATH,
                headers=[
                    HeaderMatcher(name=":method", string_match=StringMatcher(exact="GET")),
                    HeaderMatcher(name="upgrade", string_match=StringMatcher(exact=UPGRADE, ignore_case=True)),
                ],
            ),
            route=RouteAction(
                cluster=names.TUNNEL_HANDSHAKE_CLUSTER,
                timeout=timedelta(),
                idle_timeout=timedelta(),
                upgrade_configs=[RouteActionUpgradeConfig(upgrade_type=UPGRADE)],
            ),
            request_headers_to_add=[
                *(_header(name, "%DOWNSTREAM_PEER_DNS_SAN%") for name in _IDENTITY),
                _header(_SECRET, edge.tunnel_secret),
            ],
            typed_per_filter_config=only_nodes,
        ),
    ]


_RBAC = "envoy.filters.http.rbac"


def _only_nodes() -> RbacPerRoute:
    """Admits callers whose verified certificate is a node's: the gateway's own has another name."""
    name = SubjectAltNameMatcher(
        san_type=SubjectAltNameMatcherSanType.DNS, matcher=StringMatcher(safe_regex=RegexMatcher(regex=NODE_ID))
    )
    node = Principal(
        custom=extension(
            "envoy.rbac.principals.mtls_authenticated",
            "envoy.extensions.rbac.principals.mtls_authenticated.v3.Config",
            MtlsAuthenticated(san_matcher=name),
        )
    )
    rules = Rbac(policies={"nodes": Policy(permissions=[Permission(any=True)], principals=[node])})
    return RbacPerRoute(rbac=RbacFilter(rules=rules))


def _refused() -> AccessLogFilter:
    # Envoy requires the runtime key; nothing sets it.
    status = RuntimeUInt32(default_value=403, runtime_key="trunkline.none")
    return AccessLogFilter(
        status_code_filter=StatusCodeFilter(comparison=ComparisonFilter(op=ComparisonFilterOp.EQ, value=status))
    )


def _header(key: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=key, value=value),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
