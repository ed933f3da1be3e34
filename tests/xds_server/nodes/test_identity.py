"""The caller's identity, from Envoy's metadata about the certificate."""

from __future__ import annotations

import pytest

from tests.xds_server.nodes.reporting import node_id as some_id
from xds_server.errors import UnauthenticatedError
from xds_server.nodes.identity import HEADER, node_id

UNIX = "unix:"
NODE = some_id(7)
HASH = "Hash=" + "0a" * 32


@pytest.mark.parametrize(
    "value", [f"{HASH};DNS={NODE}", f"DNS={NODE}", f"By=spiffe://gateway/x;{HASH};DNS={NODE}"]
)
def test_one_certificate_of_one_node(value: str) -> None:
    assert node_id([("user-agent", "x"), (HEADER, value)], UNIX) == NODE


@pytest.mark.parametrize(
    "value",
    [
        "",
        HASH,
        f"{HASH};DNS={NODE};DNS={some_id(8)}",
        f"{HASH};DNS={NODE};DNS={NODE}",
        f"{HASH};DNS={NODE},{HASH};DNS={some_id(8)}",
        f"{HASH};DNS={NODE},",
        f'{HASH};Subject="CN=x;DNS={NODE}"',
        f'{HASH};DNS="{NODE}"',
        f"{HASH};URI=spiffe://x;DNS={NODE}",
        f"{HASH};dns={NODE}",
        f"{HASH};DNS={NODE};",
        f"{HASH};DNS={NODE}\n",
        f"{HASH};DNS={NODE.upper()}",
        f"{HASH};DNS={NODE}x",
        f"{HASH};DNS=nd-0000000000000001",
        f"{HASH};DNS=gateway.trunkline.internal",
        f"{HASH}; DNS={NODE}",
    ],
)
def test_anything_else_is_refused(value: str) -> None:
    with pytest.raises(UnauthenticatedError, match="join again"):
        node_id([(HEADER, value)], UNIX)


def test_two_headers_are_refused() -> None:
    with pytest.raises(UnauthenticatedError, match="join again"):
        node_id([(HEADER, f"DNS={NODE}")] * 2, UNIX)
    with pytest.raises(UnauthenticatedError, match="join again"):
        node_id([(HEADER, f"DNS={NODE}".encode())], UNIX)


def test_no_certificate() -> None:
    with pytest.raises(UnauthenticatedError, match="needs the node's client certificate"):
        node_id([], UNIX)


@pytest.mark.parametrize("peer", ["ipv4:127.0.0.1:5000", "ipv6:[::1]:5000", "vsock:1", ""])
def test_on_tcp_it_is_anybodys_claim(peer: str) -> None:
    with pytest.raises(UnauthenticatedError, match="tunnel listener"):
        node_id([(HEADER, f"DNS={NODE}")], peer)
