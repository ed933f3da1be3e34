"""Builds one cluster per target: its address, connection and ejection, and what a request needs there."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from urllib.parse import quote, urlsplit

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    UpstreamConnectionOptions,
)
from envoy_data_plane.envoy.config.core.v3 import (
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    DataSource,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions as CommonHttpProtocolOptions,
    KeepaliveSettings,
    TcpKeepalive,
    TransportSocket,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    ClusterLoadAssignmentPolicy,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsAutoHttpConfig,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.google.protobuf import Any

from xds_server.model import Provider, ProviderTarget
from xds_server.resources.encoding import metadata, pack, tcp
from xds_server.resources.health import Check, authorization, health_checks
from xds_server.resources.names import METADATA, target_cluster
from xds_server.resources.settings import EdgeSettings
from xds_server.resources.template import Template, text_placeholder

PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
DEFAULT_CONNECT_MS = 2_000

#: A target is never the place to limit concurrency: Envoy's default of 3 parallel retries would stop failover
#: under load, and its default of 1,024 requests would stop long streams.
UNLIMITED = CircuitBreakers(
    thresholds=[
        CircuitBreakersThresholds(
            max_connections=1_000_000,
            max_pending_requests=1_000_000,
            max_requests=1_000_000,
            max_retries=1_000_000,
        )
    ]
)
#: At the default of 140, half of a tier down would send traffic on to the next tier while healthy hosts have room.
FULL_TIERS = ClusterLoadAssignmentPolicy(overprovisioning_factor=100_000)
ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
#: Idle upstream connections are closed before the providers (60 s and more) close them under a request.
IDLE = timedelta(seconds=50)


def provider_cluster(  # noqa: PLR0917 - what a cluster is made of
    name: str,
    attempt: Mapping[str, str],
    base_url: str,
    ca_file: str,
    connect_ms: int,
    check: Check | None = None,
    authorized: str = "",
) -> Cluster:
    """Returns the cluster `name`: one logical host by DNS or address, with `attempt` as its metadata.

    Envoy never ejects its host: the module knows which targets rest. `ca_file` verifies https; `connect_ms` 0 is
    the default. `check` is how Envoy finds out whether the host lives, with `authorized` as the header's value.
    """
    url = urlsplit(base_url)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    endpoint = LbEndpoint(
        endpoint=Endpoint(address=tcp(host, port), hostname=url.netloc), metadata=metadata(METADATA, attempt)
    )
    tls = url.scheme == "https"
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.STATIC if _is_address(host) else ClusterDiscoveryType.LOGICAL_DNS,
        dns_lookup_family=ClusterDnsLookupFamily.V4_PREFERRED,
        connect_timeout=timedelta(milliseconds=connect_ms or DEFAULT_CONNECT_MS),
        load_assignment=ClusterLoadAssignment(
            cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])], policy=FULL_TIERS
        ),
        transport_socket=_tls(ca_file, host) if tls else None,
        typed_extension_protocol_options={PROTOCOL_OPTIONS: _protocol(negotiate=tls)},
        circuit_breakers=UNLIMITED,
        upstream_connection_options=keepalive(),
        health_checks=health_checks(check, base_url, authorized),
    )


def encoded_provider_cluster(
    target: ProviderTarget, provider: Provider, credential: int, connect_ms: int, edge: EdgeSettings
) -> bytes:
    """Encodes the cluster `provider/model` (`#2` for the second credential)."""
    secret = provider.credentials[credential] if provider.credentials else ""
    attempt = attempt_metadata(
        target.id,
        prefix=urlsplit(provider.base_url).path.rstrip("/"),
        model=target.model,
        credential=secret,
        credential_index=credential,
        stream_usage=provider.stream_usage,
    )
    check, authorized = Check.of(provider), authorization(secret)
    template = _provider_template(
        provider.base_url,
        provider.ca_file or edge.ca_file,
        connect_ms,
        check,
        is_first=not credential,
        authorized=bool(authorized),
    )
    return template.fill({"name": target_cluster(target, credential), "authorization": authorized, **attempt})


@lru_cache(maxsize=1024)
def _provider_template(
    base_url: str, ca_file: str, connect_ms: int, check: Check | None, *, is_first: bool, authorized: bool
) -> Template:
    keys = ("target", "dress") if is_first else ("target", "credential", "dress")
    attempt = {key: text_placeholder(key) for key in keys}
    secret = text_placeholder("authorization") if authorized else ""
    cluster = provider_cluster(text_placeholder("name"), attempt, base_url, ca_file, connect_ms, check, secret)
    return Template(bytes(cluster))


def attempt_metadata(
    target: str,
    *,
    prefix: str,
    model: str,
    credential: str = "",
    credential_index: int = 0,
    stream_usage: bool,
    flags: str = "",
) -> dict[str, str]:
    """Returns endpoint metadata: the target's id, and what the module needs to prepare a request for it.

    `prefix` precedes the path there; `model` is the model's name there; `flags` are more of the module's. Logs
    name a target's second credential by `#2` after the target's id, and by `credential: "2"`.
    """
    every_flag = "-" + ("u" if stream_usage else "") + flags
    name = json.dumps(model, ensure_ascii=False)  # for a form, the module removes the quotes and backslashes
    number = str(credential_index + 1) if credential_index else ""
    id_ = quote(target, safe="/:") + (f"#{number}" if number else "")
    words = (every_flag, prefix or "-", credential or "-", id_, name)
    numbered = {"credential": number} if number else {}
    return {"target": target, **numbered, "dress": " ".join(words)}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _tls(ca_file: str, host: str) -> TransportSocket:
    context = UpstreamTlsContext(
        auto_host_sni=not _is_address(host),
        auto_sni_san_validation=not _is_address(host),
        common_tls_context=CommonTlsContext(
            alpn_protocols=["h2", "http/1.1"],
            validation_context=CertificateValidationContext(trusted_ca=DataSource(filename=ca_file)),
        ),
    )
    return TransportSocket(
        name="envoy.transport_sockets.tls",
        typed_config=pack("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", context),
    )


def _protocol(*, negotiate: bool) -> Any:
    """Uses HTTP/2 or HTTP/1.1 by ALPN with TLS, otherwise HTTP/1.1."""
    common = CommonHttpProtocolOptions(idle_timeout=IDLE)
    if negotiate:
        ping = KeepaliveSettings(interval=timedelta(seconds=30), timeout=timedelta(seconds=5))
        options = HttpProtocolOptions(
            common_http_protocol_options=common,
            auto_config=HttpProtocolOptionsAutoHttpConfig(
                http_protocol_options=Http1ProtocolOptions(),
                http2_protocol_options=Http2ProtocolOptions(connection_keepalive=ping),
            ),
        )
    else:
        options = HttpProtocolOptions(
            common_http_protocol_options=common,
            explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
                http_protocol_options=Http1ProtocolOptions()
            ),
        )
    return pack(PROTOCOL_OPTIONS, options)


def keepalive() -> UpstreamConnectionOptions:
    """Makes Envoy notice a dead path to an upstream: after 15 s of idleness and three lost probes, 30 s."""
    return UpstreamConnectionOptions(
        tcp_keepalive=TcpKeepalive(keepalive_probes=3, keepalive_time=15, keepalive_interval=5)
    )
