"""Who may open an xDS stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hmac import compare_digest

#: (metadata, peer as gRPC names it) → may they.
Authorise = Callable[[Mapping[str, str], str], bool]

#: What a refused client is told.
WHAT_IS_NEEDED = (
    "this xDS server needs the metadata `authorization: Bearer <control token>` on TCP; "
    "its Unix socket needs no token"
)


def anyone(metadata: Mapping[str, str], peer: str) -> bool:
    """For servers that listen on a Unix socket alone."""
    return True


def bearer_token(token: str) -> Authorise:
    """Clients on a Unix socket (its file mode is their permission), and those that send `token`."""
    expected = f"Bearer {token}".encode()

    def authorise(metadata: Mapping[str, str], peer: str) -> bool:
        if peer.startswith("unix:"):
            return True
        return compare_digest(metadata.get("authorization", "").encode(), expected)

    return authorise
