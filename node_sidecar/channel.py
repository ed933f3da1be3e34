"""gRPC channels to the gateway. They trust only the pinned CA, and detect a dead path within seconds."""

from __future__ import annotations

import grpc
import grpc.aio

from node_sidecar.identity import GATEWAY_NAME, Identity

#: The version of the protocol that this sidecar speaks.
PROTOCOL = 1

_OPTIONS = [
    ("grpc.ssl_target_name_override", GATEWAY_NAME),
    # A report is sent every two seconds; the connection ends if one is not acknowledged within the timeout.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.http2.max_pings_without_data", 0),
    # The sidecar itself waits between attempts, with jitter, and makes a channel for each attempt.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # Connects directly, without a proxy, as the tunnels do.
    ("grpc.enable_http_proxy", 0),
]


def anonymous(address: str, ca_pem: bytes) -> grpc.aio.Channel:
    """Opens a channel without a client certificate; only for Enrol."""
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca_pem), options=_OPTIONS)


def identified(identity: Identity) -> grpc.aio.Channel:
    """Opens a channel that authenticates with the node's certificate."""
    credentials = grpc.ssl_channel_credentials(identity.ca_pem, identity.key_pem, identity.certificate_pem)
    return grpc.aio.secure_channel(identity.record.gateway, credentials, options=_OPTIONS)
