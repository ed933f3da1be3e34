from __future__ import annotations

import pytest

from node_sidecar.errors import TunnelError
from node_sidecar.tunnel.handshake import Idle, UpgradeAnswer, upgrade_request

OK = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: reverse-tunnel\r\n\r\n"


def test_the_request_has_what_envoy_looks_for() -> None:
    request = upgrade_request("gw.example:8443", "nd-a")
    lines = request.decode().split("\r\n")
    assert lines[0] == "GET /reverse_connections/request HTTP/1.1"
    assert lines[-2:] == ["", ""]
    assert set(lines[1:-2]) == {
        "host: gw.example:8443",
        "connection: upgrade",
        "upgrade: reverse-tunnel",
        "x-envoy-reverse-tunnel-node-id: nd-a",
        "x-envoy-reverse-tunnel-cluster-id: nd-a",
        "x-envoy-reverse-tunnel-tenant-id: nd-a",
    }


def test_the_answer_may_come_byte_by_byte_and_with_more_behind_it() -> None:
    answer = UpgradeAnswer()
    assert [answer.feed(OK[i : i + 1]) for i in range(len(OK) - 1)] == [None] * (len(OK) - 1)
    assert answer.feed(OK[-1:] + b"RPI") == b"RPI"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403: it does not accept this node's certificate"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "404: there is no tunnel listener"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "503: it is not ready"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "200: see the logs"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "does not speak HTTP"),
        (b"x" * 20_000, "does not speak HTTP"),
    ],
)
def test_anything_else_is_a_clear_failure(head: bytes, message: str) -> None:
    with pytest.raises(TunnelError, match=message):
        UpgradeAnswer().feed(head)


def test_pings_are_echoed_however_they_are_cut() -> None:
    for size in range(1, 16):
        idle, echoed = Idle(), b""
        stream = b"RPING" * 3 + b"PRI * HTTP/2.0\r\n"
        rest = b""
        for start in range(0, len(stream), size):
            if rest:
                rest += stream[start : start + size]
                continue
            echo, rest = idle.feed(stream[start : start + size])
            echoed += echo
        assert (echoed, rest) == (b"RPING" * 3, b"PRI * HTTP/2.0\r\n"), size
