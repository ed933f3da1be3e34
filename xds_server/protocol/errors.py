"""What a client can do wrong on an xDS stream.

ProtocolError
└── MissingNodeError
"""

from __future__ import annotations


class ProtocolError(Exception):
    """The client broke the protocol; the stream ends with this text (gRPC INVALID_ARGUMENT)."""


class MissingNodeError(ProtocolError):
    """The first request of a stream did not say who is asking."""

    def __init__(self) -> None:
        super().__init__("the first request of an xDS stream must carry node.id (xDS protocol, node identifier)")
