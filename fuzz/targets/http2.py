"""HTTP/2 from the gateway to a node: the same requests are read from pieces of any size."""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.targets._pieces import headed, pieces
from node_sidecar.http2.connection import ServerConnection
from node_sidecar.http2.events import BodyReceived, ConnectionFailed, Http2Event, RequestReceived
from node_sidecar.http2.limits import DEFAULT

UNDER_TEST = ("node_sidecar.http2.connection", "node_sidecar.http2.allowance", "h2", "hpack", "hyperframe")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def check(data: bytes) -> bool:
    """Checks that both ways fail, or read the same; and that nothing follows a failure."""
    seed, text = headed(data)
    whole, written = _read([PREFACE + text])
    split, also_written = _read(pieces(seed, PREFACE + text))
    failed, also_failed = (any(isinstance(each, ConnectionFailed) for each in found) for found in (whole, split))
    assert failed == also_failed
    if not failed:
        assert whole == split
        assert written == also_written
    for each in split:
        assert not isinstance(each, RequestReceived) or each.stream_id % 2 == 1
        assert not isinstance(each, BodyReceived) or len(each.data) <= each.size or each.size == 0
    return any(isinstance(each, RequestReceived) for each in whole)


def _read(parts: Iterable[bytes]) -> tuple[list[Http2Event], bytes]:
    connection, events, written = ServerConnection(DEFAULT), list[Http2Event](), b""
    for part in parts:
        events += connection.receive(part, 0.0)
        written += connection.output()
        if events and isinstance(events[-1], ConnectionFailed):
            break
    return events, written
