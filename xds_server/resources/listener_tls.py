"""TLS on the clients' and the admin listener, with a certificate that arrives as a secret."""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.core.v3 import TransportSocket
from envoy_data_plane.envoy.config.listener.v3 import FilterChain
from envoy_data_plane.envoy.config.rbac.v3 import Permission, Policy, Principal, Rbac
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac as RbacFilter, RbacPerRoute
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.extensions.rbac.principals.mtls_authenticated.v3 import Config as MtlsAuthenticated
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import DownstreamTlsContext
from envoy_data_plane.google.protobuf import Any

from xds_server.resources.encoding import extension, pack
from xds_server.resources.secrets import for_listeners
from xds_server.resources.settings import ListenerTls

_RBAC = "envoy.filters.http.rbac"
#: A longer handshake is aborted.
_HANDSHAKE = timedelta(seconds=10)


def present(chain: FilterChain, tls: ListenerTls, *, require_client_certificate: bool) -> None:
    """Makes `chain` speak TLS, and HTTP/2 or HTTP/1.1 as the client prefers.

    If there is a CA for clients, a certificate of another CA fails the handshake, and so does a missing
    certificate with `require_client_certificate`.
    """
    verified = bool(tls.client_ca_pem)
    context = DownstreamTlsContext(
        common_tls_context=for_listeners(tls, "h2", "http/1.1"),
        require_client_certificate=verified and require_client_certificate,
        # The certificate of a resumed session would not be verified again with today's CA.
        disable_stateless_session_resumption=verified,
        disable_stateful_session_resumption=verified,
    )
    chain.transport_socket = TransportSocket(
        name="envoy.transport_sockets.tls",
        typed_config=pack("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", context),
    )
    chain.transport_socket_connect_timeout = _HANDSHAKE


def certificate_filter() -> HttpFilter:
    """Returns the filter that refuses callers without a verified certificate, except on routes with
    `no_certificate`.
    """
    verified = Principal(
        custom=extension(
            "envoy.rbac.principals.mtls_authenticated",
            "envoy.extensions.rbac.principals.mtls_authenticated.v3.Config",
            MtlsAuthenticated(any_validated_client_certificate=True),
        )
    )
    rules = Rbac(policies={"certificate": Policy(permissions=[Permission(any=True)], principals=[verified])})
    config = pack("envoy.extensions.filters.http.rbac.v3.RBAC", RbacFilter(rules=rules))
    return HttpFilter(name=_RBAC, typed_config=config)


def no_certificate() -> dict[str, Any]:
    """Returns a route's exception from `certificate_filter`."""
    return {_RBAC: pack("envoy.extensions.filters.http.rbac.v3.RBACPerRoute", RbacPerRoute())}
