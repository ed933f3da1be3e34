"""Decides which callers may use a service of the xDS server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hmac import compare_digest

#: Takes the metadata and the peer as gRPC names it; returns whether the caller may go on.
Authorise = Callable[[Mapping[str, str], str], bool]

#: The error text for a refused client.
WHAT_IS_NEEDED = (
    "this xDS server needs the metadata `authorization: Bearer <control token>` on TCP; "
    "its Unix socket needs no token"
)


def anyone(metadata: Mapping[str, str], peer: str) -> bool:
    """Admits every caller, for servers that listen only on a Unix socket."""
    return True


def bearer_token(token: str) -> Authorise:
    """Admits clients on a Unix socket, whose file mode is their permission, and clients that send `token`."""
    expected = f"Bearer {token}".encode()

    def authorise(metadata: Mapping[str, str], peer: str) -> bool:
        if peer.startswith("unix:"):
            return True
        return compare_digest(metadata.get("authorization", "").encode(), expected)

    return authorise
