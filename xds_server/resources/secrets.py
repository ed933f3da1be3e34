"""Certificates over SDS: a renewed certificate is pushed as a secret, and no listener or cluster changes for
it.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    SdsSecretConfig,
    Secret,
    TlsCertificate,
)

from xds_server.protocol.snapshot import SECRET, Resource
from xds_server.resources.names import CLIENT_CA_SECRET, GATEWAY_SECRET, LISTENERS_SECRET, NODES_CA_SECRET
from xds_server.resources.settings import GatewayTls, ListenerTls
from xds_server.resources.targets import ADS


def secrets(tls: GatewayTls) -> dict[str, Resource]:
    """Returns the gateway's certificate for nodes and their CA, by name. The bodies hold a private key."""
    return _by_name(
        _certificate(GATEWAY_SECRET, tls.certificate_chain_pem, tls.key_pem),
        _authority(NODES_CA_SECRET, tls.ca_pem),
    )


def listener_secrets(tls: ListenerTls) -> dict[str, Resource]:
    """Returns the operator's certificate, and its clients' CA if there is one, by name. The bodies hold a private
    key.
    """
    certificate = _certificate(LISTENERS_SECRET, tls.certificate_chain_pem, tls.key_pem)
    if not tls.client_ca_pem:
        return _by_name(certificate)
    return _by_name(certificate, _authority(CLIENT_CA_SECRET, tls.client_ca_pem))


def for_listeners(tls: ListenerTls, *protocols: str) -> CommonTlsContext:
    """Presents the operator's certificate; verifies clients' certificates if there is a CA for them."""
    context = CommonTlsContext(
        tls_certificate_sds_secret_configs=[SdsSecretConfig(name=LISTENERS_SECRET, sds_config=ADS)],
        alpn_protocols=list(protocols),
    )
    if tls.client_ca_pem:
        context.validation_context_sds_secret_config = SdsSecretConfig(name=CLIENT_CA_SECRET, sds_config=ADS)
    return context


def between_gateway_and_nodes(*protocols: str) -> CommonTlsContext:
    """Presents the gateway's certificate and trusts only the nodes' CA. `protocols` are for ALPN."""
    return CommonTlsContext(
        tls_certificate_sds_secret_configs=[SdsSecretConfig(name=GATEWAY_SECRET, sds_config=ADS)],
        validation_context_sds_secret_config=SdsSecretConfig(name=NODES_CA_SECRET, sds_config=ADS),
        alpn_protocols=list(protocols),
    )


def _certificate(name: str, chain_pem: str, key_pem: str) -> Secret:
    return Secret(
        name=name,
        tls_certificate=TlsCertificate(
            certificate_chain=DataSource(inline_string=chain_pem), private_key=DataSource(inline_string=key_pem)
        ),
    )


def _authority(name: str, pem: str) -> Secret:
    return Secret(
        name=name, validation_context=CertificateValidationContext(trusted_ca=DataSource(inline_string=pem))
    )


def _by_name(*made: Secret) -> dict[str, Resource]:
    return {each.name: Resource.of(SECRET, each.name, bytes(each)) for each in made}
