"""The listeners `openai` for clients, `admin` for operators, and `playground` between the two. They are the same
on every Envoy.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation as Mutation,
    HeaderMutationRemoveOnMatch,
)
from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    HttpProtocolOptionsHeadersWithUnderscoresAction as Underscores,
    TrafficDirection,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.listener.v3 import (
    Filter,
    FilterChain,
    Listener,
    ListenerInternalListenerConfig,
)
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    HeaderMatcher,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    RouteMatchGrpcRouteMatchOptions,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerPathWithEscapedSlashesAction as EscapedSlashes,
    HttpFilter,
    LocalReplyConfig,
    Rds,
)
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    HeaderMutation as EarlyHeaderMutation,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher

from xds_server.resources import listener_tls, names, playground
from xds_server.resources.access_log import request_log
from xds_server.resources.cors import cors_filter
from xds_server.resources.encoding import extension, pack, tcp
from xds_server.resources.local_replies import admin_replies, local_replies
from xds_server.resources.module import module_filter, module_ingress
from xds_server.resources.settings import EdgeSettings, ListenerTls
from xds_server.resources.targets import ADS
from xds_server.resources.upstream_filters import upstream_filters

#: On the operators' listener, the holder of the token may name whom it acts for, and take over from a file.
_FORGED_BY_OPERATORS = "x-request-id|x-envoy-.*"
AUTHORISE_TIMEOUT = timedelta(seconds=10)
#: gRPC calls of the Admin API; REST has other paths.
_GRPC = RouteMatch(prefix="/trunkline.admin.v1.Admin/", grpc=RouteMatchGrpcRouteMatchOptions())
READ_TIMEOUT = timedelta(seconds=60)
#: A change may wait for a minute until every client has accepted it.
REST_TIMEOUT = timedelta(seconds=90)
#: Bytes that Envoy buffers of a client's connection in each direction.
CONNECTION_BUFFER = 128 * 1024
#: Bytes that an HTTP/2 client may send ahead, on one stream and on its connection. Envoy's defaults of 16 and 24
#: MiB would be granted to every caller, with or without a key.
STREAM_WINDOW = 256 * 1024
CONNECTION_WINDOW = 1024 * 1024
#: Concurrent requests on one connection: RFC 9113 (section 6.5.2) recommends no fewer than 100.
CONCURRENT_STREAMS = 128
_DIRECTIONS = {
    names.OPENAI_LISTENER: TrafficDirection.INBOUND,
    names.ADMIN_LISTENER: TrafficDirection.UNSPECIFIED,
}

#: The address against which failed sign-ins count; a client's own claim is overwritten.
_CLIENT_ADDRESS = HeaderValueOption(
    header=HeaderValue(key="x-trunkline-client-address", value="%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
    append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
)


def openai_listener(edge: EdgeSettings, tls: ListenerTls | None = None) -> Listener:
    """Returns the clients' listener: it strips forged headers, has the translator check requests, and routes by
    its answer.
    """
    return _listener(names.OPENAI_LISTENER, edge.openai_listen, _clients_manager("openai", edge), tls)


def playground_listener(edge: EdgeSettings) -> Listener:
    """Returns a copy of the clients' listener for requests that have come in by the admin listener."""
    manager = _clients_manager("playground", edge)
    manager.use_remote_address = False  # its connections have no address
    return Listener(
        name=names.PLAYGROUND_LISTENER,
        internal_listener=ListenerInternalListenerConfig(),
        filter_chains=[FilterChain(filters=[http_listener_filter(manager)])],
        per_connection_buffer_limit_bytes=CONNECTION_BUFFER,
        ignore_global_conn_limit=True,
    )


def _clients_manager(name: str, edge: EdgeSettings) -> HttpConnectionManager:
    manager = _manager(name, edge, local_replies(edge.max_body_bytes), module_ingress())
    manager.rds = Rds(route_config_name=names.ROUTE_CONFIGURATION, config_source=ADS)
    bounds = (edge.max_body_bytes, edge.max_unchecked_bytes, edge.max_key_bytes, edge.max_total_bytes)
    settings = (AUTHORISE_TIMEOUT // timedelta(milliseconds=1), *bounds)
    manager.http_filters = [
        cors_filter(),
        module_filter("authorise", " ".join(map(str, settings))),
        router(upstream=upstream_filters()),
    ]
    if edge.access_log:
        manager.access_log = [request_log(edge.access_log)]
    return manager


def admin_listener(edge: EdgeSettings, tls: ListenerTls | None = None) -> Listener:
    """Returns the operators' listener: health, metrics, and the Admin API as gRPC and as REST.

    If clients need a certificate, so do operators, for everything but health: probes have no certificate.
    """
    verified = tls is not None and bool(tls.client_ca_pem)
    streams = RouteAction(cluster=names.XDS_CLUSTER, timeout=timedelta(), idle_timeout=timedelta())
    manager = _manager("admin", edge, admin_replies(), early_removal(_FORGED_BY_OPERATORS))
    manager.route_config = RouteConfiguration(
        name="admin",
        virtual_hosts=[
            VirtualHost(
                name="admin",
                domains=["*"],
                request_headers_to_add=[_CLIENT_ADDRESS],
                routes=[
                    *_health_routes(verified=verified),
                    _to(_reading("/metrics"), names.ENVOY_ADMIN_CLUSTER, rewrite="/stats/prometheus"),
                    # Separate routes: neither is lost with the other process, and neither is copied through
                    # Python.
                    _to(_reading("/metrics/translator"), names.TRANSLATOR_CLUSTER, rewrite="/metrics"),
                    # gRPC for the command line. No other service, because Envoy may do everything on that socket.
                    Route(match=_GRPC, route=streams),
                    # To the clients' listener, with the console's origin and an API key.
                    playground.route(),
                    # The console, /metrics/control, and all other paths: without the token nobody learns which
                    # paths exist.
                    _to(RouteMatch(prefix="/"), names.REST_CLUSTER, timeout=REST_TIMEOUT),
                ],
            )
        ],
        # With a bootstrap that has no cluster `rest`, the other paths still work.
        validate_clusters=False,
    )
    manager.http_filters = [*([listener_tls.certificate_filter()] if verified else []), router()]
    return _listener(names.ADMIN_LISTENER, edge.admin_listen, manager, tls)


def _health_routes(*, verified: bool) -> list[Route]:
    """Returns the health routes, open to anybody even if other routes need a verified certificate."""
    routes = [
        Route(match=_reading("/healthz"), direct_response=DirectResponseAction(status=200)),
        _to(_reading("/readyz"), names.TRANSLATOR_CLUSTER),
    ]
    if verified:
        for route in routes:
            route.typed_per_filter_config = listener_tls.no_certificate()
    return routes


def _manager(
    name: str, edge: EdgeSettings, replies: LocalReplyConfig, removal: TypedExtensionConfig
) -> HttpConnectionManager:
    """Returns the connection manager; `removal` removes headers that nobody may send from every request."""
    return HttpConnectionManager(
        stat_prefix=name,
        server_name="trunkline",
        use_remote_address=True,
        skip_xff_append=True,
        generate_request_id=True,
        always_set_request_id_in_response=True,
        normalize_path=True,
        merge_slashes=True,
        # SDKs escape the slashes in a model's name. Nothing behind the fixed table of paths sees the path.
        path_with_escaped_slashes_action=EscapedSlashes.KEEP_UNCHANGED,
        common_http_protocol_options=HttpProtocolOptions(
            # Clients send such headers of their own (Codex: session_id), and no target should mistake one for
            # another header.
            headers_with_underscores_action=Underscores.DROP_HEADER,
            idle_timeout=timedelta(hours=1),
        ),
        # nginx speaks HTTP/1.0 to its upstreams by default.
        http_protocol_options=Http1ProtocolOptions(accept_http_10=True, default_host_for_http_10="gateway"),
        http2_protocol_options=Http2ProtocolOptions(
            max_concurrent_streams=CONCURRENT_STREAMS,
            initial_stream_window_size=STREAM_WINDOW,
            initial_connection_window_size=CONNECTION_WINDOW,
        ),
        # Bounds slow senders; answers are bounded per route.
        request_headers_timeout=timedelta(seconds=30),
        stream_idle_timeout=timedelta(seconds=300),
        early_header_mutation_extensions=[removal],
        local_reply_config=replies,
    )


def _listener(
    name: str, listen: tuple[str, int], manager: HttpConnectionManager, tls: ListenerTls | None
) -> Listener:
    chain = FilterChain(filters=[http_listener_filter(manager)])
    if tls is not None:
        listener_tls.present(chain, tls, require_client_certificate=name == names.OPENAI_LISTENER)
    return Listener(
        name=name,
        address=tcp(*listen),
        filter_chains=[chain],
        per_connection_buffer_limit_bytes=CONNECTION_BUFFER,
        # `/drain_listeners?inboundonly` ends the inbound listeners; operators can still watch how that goes.
        traffic_direction=_DIRECTIONS[name],
        # An operator can connect even if clients have taken every connection.
        ignore_global_conn_limit=name == names.ADMIN_LISTENER,
    )


def http_listener_filter(manager: HttpConnectionManager) -> Filter:
    """Returns the last network filter of a listener that speaks HTTP."""
    return Filter(
        name="envoy.filters.network.http_connection_manager",
        typed_config=pack(
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", manager
        ),
    )


def router(*, upstream: Sequence[HttpFilter] = ()) -> HttpFilter:
    """Returns the last HTTP filter; `upstream` run for each attempt, and for clusters without filters of their
    own.
    """
    config = Router(suppress_envoy_headers=True, upstream_http_filters=list(upstream))
    return HttpFilter(
        name="envoy.filters.http.router",
        typed_config=pack("envoy.extensions.filters.http.router.v3.Router", config),
    )


def early_removal(pattern: str) -> TypedExtensionConfig:
    """Returns an extension that removes matching headers from every request before anything else sees them."""
    matcher = StringMatcher(safe_regex=RegexMatcher(regex=pattern))
    removal = Mutation(remove_on_match=HeaderMutationRemoveOnMatch(key_matcher=matcher))
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        EarlyHeaderMutation(mutations=[removal]),
    )


def _reading(path: str) -> RouteMatch:
    """Matches GET and HEAD of one path."""
    reading = HeaderMatcher(name=":method", string_match=StringMatcher(safe_regex=RegexMatcher(regex="GET|HEAD")))
    return RouteMatch(path=path, headers=[reading])


def _to(match: RouteMatch, cluster: str, *, rewrite: str = "", timeout: timedelta = READ_TIMEOUT) -> Route:
    action = RouteAction(cluster=cluster, timeout=timeout)
    if rewrite:
        action.prefix_rewrite = rewrite
    return Route(match=match, route=action)
