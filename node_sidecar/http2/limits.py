"""The limits of one connection."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Http2Limits:
    """Windows in bytes, allowances in frames per `allowance_period` seconds, times in seconds.

    A connection that exceeds an allowance ends with ENHANCE_YOUR_CALM: every frame of these kinds costs its
    receiver more than its sender (RFC 9113 section 10.5).
    """

    #: The gate limits the running requests; this only has to cover the streams that Envoy opens before it knows
    #: (1,024).
    streams: int = 1024
    #: A request body up to this size arrives without waiting for acknowledgements.
    stream_window: int = 1 * MIB
    #: The maximum of all unread bodies of a connection.
    connection_window: int = 16 * MIB
    #: Envoy accepts 60 KiB from its clients. The HPACK decoder stops here, which keeps a compressed bomb small.
    header_list: int = 64 * KIB
    allowance_period: float = 10.0
    #: The clients of all streams may leave at once, and again after that.
    resets: int = 2 * 1024
    pings: int = 200
    settings: int = 50
    #: DATA frames without data, PRIORITY, and frames of unknown kinds.
    empty: int = 1000
    #: Window updates; a fast reader sends two for every 16 KiB that it receives.
    window_updates: int = 200_000
    #: A peer is pinged after this silence, and counts as dead after the second one.
    ping_after: float = 2.0
    dead_after: float = 8.0


DEFAULT = Http2Limits()
