"""Chooses the headers that pass between the gateway and a local server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from node_sidecar.http2.events import Header

TextHeader: TypeAlias = tuple[str, str]

#: RFC 9110 section 7.6.1, and what HTTP/2 forbids (RFC 9113 section 8.2.2).
_CONNECTION = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
#: Either the HTTP client writes its own, or they are none of the local server's business.
_REQUEST = _CONNECTION | {b"host", b"content-length", b"expect", b"authorization", b"cookie", b"forwarded"}
#: The gateway's own headers. A local server could command the gateway with them.
_GATEWAY = (b"x-trunkline-", b"x-envoy-")


def for_local_server(headers: Iterable[Header], api_key: str) -> list[TextHeader]:
    """Returns a request's headers for a local server; `api_key` may be empty."""
    passed: list[TextHeader] = []
    for name, value in headers:
        if name in _REQUEST or name.startswith((*_GATEWAY, b"x-forwarded-")):
            continue
        try:
            text = value.decode()
        except UnicodeDecodeError:  # no server that speaks OpenAI's API needs it
            continue
        if text.isprintable():
            passed.append((name.decode("ascii"), text))
    if api_key:
        passed.append(("authorization", f"Bearer {api_key}"))
    return passed


def for_gateway(raw: Iterable[tuple[bytes, bytes]]) -> list[Header]:
    """Returns a local server's response headers for the gateway."""
    lowered = [(name.lower(), value) for name, value in raw]
    named = {
        token.strip().lower() for name, value in lowered if name == b"connection" for token in value.split(b",")
    }
    return [
        (name, value.strip())
        for name, value in lowered
        if name not in _CONNECTION and name not in named and not name.startswith(_GATEWAY)
    ]
