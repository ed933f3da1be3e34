"""Identifies the calling node by the client certificate that Envoy verified.

Envoy's tunnel listener overwrites `x-forwarded-client-cert` (SANITIZE_SET, `dns: true`), so the header has one
element (`Hash=…;DNS=nd-…`) or none. A caller that can open the control plane's Unix socket is believed, as with
ADS. Over TCP anybody can send the header, so it proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from xds_server.errors import UnauthenticatedError

HEADER = "x-forwarded-client-cert"

_NODE_ID = re.compile(r"nd-[a-z2-7]{16}")
#: The keys that Envoy sends under this configuration. None of their values has quotes or commas, which would need
#: a parser.
_KEYS = frozenset({"By", "Hash", "DNS"})

_ELSEWHERE = "nodes reach their registry through the gateway's tunnel listener, and nowhere else"


def require_tunnel(peer: str) -> None:
    """Raises UnauthenticatedError unless `peer`, as gRPC names it, is on the Unix socket."""
    if not peer.startswith("unix:"):
        raise UnauthenticatedError(_ELSEWHERE)


def node_id(metadata: Iterable[tuple[str, str | bytes]], peer: str) -> str:
    """Returns the calling node.

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
    """Returns the DNS names; empty for anything but one element of known, unquoted pairs."""
    pairs = [pair.partition("=") for pair in element.split(";")]
    if any(key not in _KEYS or not separator for key, separator, _ in pairs) or set(element) & set(',"\\'):
        return []
    return [value for key, _, value in pairs if key == "DNS"]
