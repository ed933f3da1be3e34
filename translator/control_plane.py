"""The translator's connection to the control plane: its address, and the options of every gRPC channel to it."""

from __future__ import annotations

from dataclasses import dataclass

CHANNEL_OPTIONS = [
    # Detects a control plane that hangs, within the ping rate that its server allows.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # gRPC must not back off by itself: the delays here are short and have jitter, for a control plane that
    # restarts on the same machine.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Despite its name, this is how long one attempt to connect may take.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # A response may contain all routes. The control plane is trusted, so its size is not bounded.
    ("grpc.max_receive_message_length", -1),
]


@dataclass(frozen=True, slots=True)
class ControlPlaneAddress:
    """`address` is `unix:PATH` or `host:port`; `token` is empty if the socket's permissions suffice."""

    address: str
    token: str
