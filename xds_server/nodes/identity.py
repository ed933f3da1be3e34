"""Which node calls: Envoy says so by the client certificate that it verified.

Envoy's tunnel listener overwrites `x-forwarded-client-cert` (SANITIZE_SET, `dns: true`), so one element is there
(`Hash=…;DNS=nd-…`), or none. Whoever can open the control plane's Unix socket is believed, as with ADS; on TCP the
header is anybody's claim.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from xds_server.errors import UnauthenticatedError

HEADER = "x-forwarded-client-cert"

_NODE_ID = re.compile(r"nd-[a-z2-7]{16}")
#: What Envoy sends under this configuration. Quotes and commas, which would need a parser, are in none of them.
_KEYS = frozenset({"By", "Hash", "DNS"})

_ELSEWHERE = "nodes reach their registry through the gateway's tunnel listener, and nowhere else"


def require_tunnel(peer: str) -> None:
    """Raises UnauthenticatedError unless `peer`, as gRPC names it, is on the Unix socket."""
    if not peer.startswith("unix:"):
        raise UnauthenticatedError(_ELSEWHERE)


def node_id(metadata: Iterable[tuple[str, str | bytes]], peer: str) -> str:
    """The calling node.

    Raises UnauthenticatedError for anything but exactly one certificate of exactly one node.
    """
    require_tunnel(peer)
    values = [value for key, value in metadata if key == HEADER]
    if not values:
        raise UnauthenticatedError("this call needs the node's client certificate; join first, or renew it")
    found = _dns_names(values[0]) if len(values) == 1 and isinstance(values[0], str) else []
    if len(found) != 1 or not _NODE_ID.fullmatch(found[0]):
        raise UnauthenticatedError("the client certificate is not a node's; join again with a new token")
    return found[0]


def _dns_names(element: str) -> list[str]:
    """Empty for what is not one element of known, unquoted pairs."""
    pairs = [pair.partition("=") for pair in element.split(";")]
    if any(key not in _KEYS or not separator for key, separator, _ in pairs) or set(element) & set(',"\\'):
        return []
    return [value for key, _, value in pairs if key == "DNS"]
