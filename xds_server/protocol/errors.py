"""Errors that a client can cause on an xDS stream.

ProtocolError
├── MissingNodeError
├── MissingTypeError      a request names no resource type
├── BoundsError           it asks for more than one stream may
└── UnknownAnswersError   it answers responses that it was never sent
"""

from __future__ import annotations


class ProtocolError(Exception):
    """The client broke the protocol. The stream ends with this text (gRPC INVALID_ARGUMENT)."""


class MissingNodeError(ProtocolError):
    """The first request of a stream did not name its node."""

    def __init__(self) -> None:
        super().__init__("the first request of an xDS stream must carry node.id (xDS protocol, node identifier)")


class MissingTypeError(ProtocolError):
    """A request did not name its resource type."""

    def __init__(self) -> None:
        super().__init__(
            "a request on an ADS stream must carry type_url, for example "
            "type.googleapis.com/envoy.config.cluster.v3.Cluster (xDS protocol, aggregated discovery service)"
        )


class BoundsError(ProtocolError):
    """The client requests more than one stream may. The text says what, and how much is accepted."""


class UnknownAnswersError(ProtocolError):
    """The client answers responses that were never sent on its stream."""

    def __init__(self, answers: int) -> None:
        super().__init__(
            f"{answers} answers carry a response_nonce that was never sent on this stream: a nonce is valid on "
            "one stream only (xDS protocol, ACK and NACK)"
        )
