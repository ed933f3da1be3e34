"""Certificates over SDS: a renewed one is pushed as a secret, and no listener or cluster changes for it."""

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
from xds_server.resources.names import GATEWAY_SECRET, NODES_CA_SECRET
from xds_server.resources.settings import GatewayTls
from xds_server.resources.targets import ADS


def secrets(tls: GatewayTls) -> dict[str, Resource]:
    """Both secrets, by name. Their bodies hold a private key."""
    made = (
        Secret(
            name=GATEWAY_SECRET,
            tls_certificate=TlsCertificate(
                certificate_chain=DataSource(inline_string=tls.certificate_chain_pem),
                private_key=DataSource(inline_string=tls.key_pem),
            ),
        ),
        Secret(
            name=NODES_CA_SECRET,
            validation_context=CertificateValidationContext(trusted_ca=DataSource(inline_string=tls.ca_pem)),
        ),
    )
    return {each.name: Resource.of(SECRET, each.name, bytes(each)) for each in made}


def between_gateway_and_nodes(*protocols: str) -> CommonTlsContext:
    """Shows the gateway's certificate, trusts the nodes' CA alone. `protocols` are for ALPN."""
    return CommonTlsContext(
        tls_certificate_sds_secret_configs=[SdsSecretConfig(name=GATEWAY_SECRET, sds_config=ADS)],
        validation_context_sds_secret_config=SdsSecretConfig(name=NODES_CA_SECRET, sds_config=ADS),
        alpn_protocols=list(protocols),
    )
