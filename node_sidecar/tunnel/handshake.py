"""The bytes on a tunnel before HTTP/2, without I/O: the upgrade, then pings that are echoed."""

from __future__ import annotations

from node_sidecar.errors import TunnelError

_PATH = "/reverse_connections/request"
_MAX_HEAD = 16 * 1024
_IDENTITY = "x-envoy-reverse-tunnel-{}-id"
_ADVICE = {
    400: "it did not understand the request; is this sidecar of the gateway's version?",
    401: "it does not know this node's certificate; join again if the node was removed",
    403: "it does not accept this node's certificate; join again if the node was removed",
    404: "there is no tunnel listener of a Trunkline gateway at this address",
    503: "it is not ready yet",
}
PING = b"RPING"


def upgrade_request(host: str, node_id: str) -> bytes:
    """Returns the request that turns a connection into a tunnel. The gateway replaces the ids with the
    certificate's.
    """
    ids = "".join(f"{_IDENTITY.format(kind)}: {node_id}\r\n" for kind in ("node", "cluster", "tenant"))
    return (
        f"GET {_PATH} HTTP/1.1\r\nhost: {host}\r\n{ids}connection: upgrade\r\nupgrade: reverse-tunnel\r\n\r\n"
    ).encode("ascii")


class UpgradeAnswer:
    """Parses the answer to `upgrade_request`."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> bytes | None:
        """Returns None while the answer is incomplete, then the bytes after it. Raises TunnelError if it is a
        refusal.
        """
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            if len(self._buffer) > _MAX_HEAD:
                raise TunnelError("the server at the tunnel's address does not speak HTTP")
            return None
        protocol, _, status = head.partition(b"\r\n")[0].partition(b" ")
        if protocol != b"HTTP/1.1" or not status[:3].isdigit():
            raise TunnelError("the server at the tunnel's address does not speak HTTP")
        if (code := int(status[:3])) != 101:
            raise TunnelError(f"the gateway answered {code}: {_ADVICE.get(code, 'see the logs of the gateway')}")
        return rest


class Idle:
    """A tunnel that waits for its first request."""

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Returns the echo to send, and the first bytes of HTTP/2 if the tunnel is no longer idle."""
        data = self._partial + data
        self._partial = b""
        echo = b""
        while data:
            if data.startswith(PING):
                echo += PING
                data = data[len(PING) :]
            elif PING.startswith(data):
                self._partial = data
                return echo, b""
            else:
                return echo, data
        return echo, b""
