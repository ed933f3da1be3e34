"""The port that nodes call: what is bounded, what is not, and what its parts refer to."""

from __future__ import annotations

from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.route.v3 import Route as EnvoyRoute
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import DownstreamTlsContext, Secret

from xds_server.protocol.snapshot import CLUSTER, LISTENER, SECRET
from xds_server.resources.edge import edge_resources
from xds_server.resources.settings import EdgeSettings, GatewayTls
from xds_server.resources.tunnel_listener import tunnel_listener

TLS = GatewayTls("the-ca", "the-certificate", "the-private-key")
LISTEN = ("127.0.0.1", 8443)
EDGE = EdgeSettings(tunnel_listen=LISTEN, tunnel_secret="the-word", tls=TLS)


def manager() -> HttpConnectionManager:
    (chain,) = tunnel_listener(EDGE, LISTEN, TLS).filter_chains
    assert chain.filters[-1].typed_config is not None
    return HttpConnectionManager.parse(chain.filters[-1].typed_config.value)


def routes() -> list[EnvoyRoute]:
    made = manager()
    assert made.route_config is not None
    (host,) = made.route_config.virtual_hosts
    return host.routes


def test_reports_and_tunnels_are_never_cut_for_their_age() -> None:
    unlimited = [
        route.route
        for route in routes()
        if route.route is not None and route.route.timeout == route.route.idle_timeout == timedelta()
    ]
    assert {route.cluster for route in unlimited} == {"xds", "tunnel-handshake"}
    options = manager().common_http_protocol_options
    assert options is not None
    assert options.max_connection_duration is None
    assert options.max_stream_duration is None


def test_strangers_are_bounded() -> None:
    made = manager()
    assert made.request_headers_timeout == timedelta(seconds=10)
    assert made.stream_idle_timeout == timedelta(seconds=60)
    assert made.http2_protocol_options is not None
    assert made.http2_protocol_options.max_concurrent_streams == 64
    (chain,) = tunnel_listener(EDGE, LISTEN, TLS).filter_chains
    assert chain.transport_socket_connect_timeout == timedelta(seconds=10)
    assert chain.filters[0].name == "envoy.filters.network.connection_limit"


def test_all_but_the_ca_and_enrolment_is_for_nodes() -> None:
    open_to_all = [route for route in routes() if not route.typed_per_filter_config]
    paths = {route.match.path for route in open_to_all if route.match is not None}
    assert paths == {"/ca.pem", "/trunkline.node.v1.NodeRegistry/Enrol"}


def test_a_certificate_is_looked_at_on_every_connection() -> None:
    (chain,) = tunnel_listener(EDGE, LISTEN, TLS).filter_chains
    assert chain.transport_socket is not None
    assert chain.transport_socket.typed_config is not None
    context = DownstreamTlsContext.parse(chain.transport_socket.typed_config.value)
    assert context.disable_stateless_session_resumption
    assert context.disable_stateful_session_resumption


def test_the_private_key_is_in_its_secret_and_nowhere_else() -> None:
    made = edge_resources(EDGE, TLS)
    holders = [
        (type_url, name)
        for type_url, resources in made.items()
        for name, each in resources.items()
        if TLS.key_pem.encode() in each.body
    ]
    assert holders == [(SECRET, "gateway")]
    gateway = Secret.parse(made[SECRET]["gateway"].body)
    assert gateway.tls_certificate is not None
    assert gateway.tls_certificate.certificate_chain is not None
    assert gateway.tls_certificate.certificate_chain.inline_string == TLS.certificate_chain_pem
    for shown in (repr(TLS), repr(EDGE), repr(made)):
        assert TLS.key_pem not in shown
    assert EDGE.tunnel_secret not in repr(EDGE)


@pytest.mark.slow
def test_without_certificates_or_a_place_to_listen_there_are_no_tunnels() -> None:
    plain = edge_resources(EdgeSettings(), None)
    assert set(plain[LISTENER]) == {"openai", "admin", "playground"}
    assert (set(plain[CLUSTER]), plain[SECRET]) == ({"playground"}, {})
    assert set(edge_resources(EdgeSettings(), TLS)[LISTENER]) == {"openai", "admin", "playground"}
    assert set(edge_resources(EDGE, TLS)[LISTENER]) == {
        "openai",
        "admin",
        "playground",
        "tunnel",
        "tunnel-handshake",
        "tunnel-egress",
    }
    with pytest.raises(ValueError, match="tunnel_secret"):
        edge_resources(EdgeSettings(tunnel_listen=LISTEN), TLS)
