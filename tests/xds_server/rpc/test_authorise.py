from __future__ import annotations

import pytest

from xds_server.rpc.authorise import bearer_token


@pytest.mark.parametrize(
    ("metadata", "peer", "allowed"),
    [
        ({"authorization": "Bearer token-of-control"}, "ipv4:127.0.0.1:5", True),
        ({}, "unix:/run/xds.sock", True),
        ({}, "ipv4:127.0.0.1:5", False),
        ({"authorization": "Bearer other"}, "ipv4:127.0.0.1:5", False),
        ({"authorization": "token-of-control"}, "ipv6:[::1]:5", False),
        ({"authorization": "Bearer é"}, "ipv4:127.0.0.1:5", False),
    ],
)
def test_bearer_token(metadata: dict[str, str], peer: str, allowed: bool) -> None:
    assert bearer_token("token-of-control")(metadata, peer) is allowed
