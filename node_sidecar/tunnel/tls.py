"""TLS between node and gateway: both present certificates of the gateway's own CA."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from node_sidecar.errors import TunnelError

#: The DNS name in the gateway's certificate, at every address.
GATEWAY_NAME = "gateway.trunkline.internal"
#: Seconds.
HANDSHAKE_TIMEOUT = 5.0
SHUTDOWN_TIMEOUT = 2.0

#: Makes a context with the node's current certificate. Called for every connection, so that a renewed certificate
#: is used. Raises OSError or ssl.SSLError if the files cannot be used.
ContextFactory = Callable[[], ssl.SSLContext]


def client_context(make: ContextFactory) -> ssl.SSLContext:
    """Returns the context for a tunnel. It always checks the gateway's name, even if `make` has set something
    else.
    """
    context = make()
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    return context


def server_context(make: ContextFactory) -> ssl.SSLContext:
    """Returns the context for a direct node. Every client needs a certificate."""
    context = make()
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    return context


def check_gateway(transport: Any) -> None:
    """Raises TunnelError unless the peer's verified certificate is the gateway's."""
    certificate = transport.get_extra_info("peercert") or {}
    if ("DNS", GATEWAY_NAME) not in certificate.get("subjectAltName", ()):
        raise TunnelError("the peer is not the gateway: its certificate has another name")
