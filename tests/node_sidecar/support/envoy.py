"""The real Envoy as a gateway of nodes: a TLS front for tunnels, the reverse tunnels behind it, and clients."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

from node_sidecar.tunnel.tls import GATEWAY_NAME
from tests.node_sidecar.support.pki import Authority
from tests.ports import ReservedPort
from tests.waiting import until, until_answered

BINARY = Path(str(files("envoy"))) / "_bin" / "envoy"
WORKERS = 2
#: The gateway's defaults at its end of a node's HTTP/2 connection, bytes.
STREAM_WINDOW = 1 << 20
_API = "type.googleapis.com/envoy.extensions"
_START_SECONDS = 60
Json = dict[str, Any]


class EnvoyProcess:
    """An Envoy whose ports stay the same from one `start` to the next. A client's `x-trunkline-node` chooses the
    node.
    """

    def __init__(self, directory: Path, authority: Authority) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._admin_port = 0
        self._reserved = [ReservedPort() for _ in range(3)]
        self.tunnel_port, self.port, handshake_port = (each.number for each in self._reserved)
        certificate, key = authority.issue(GATEWAY_NAME)
        configuration = _bootstrap(self.port, self.tunnel_port, handshake_port, certificate, key, authority.file)
        self._file = directory / "envoy.json"
        self._file.write_text(json.dumps(configuration))

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    async def start(self) -> None:
        """Starts Envoy. Returns when it listens."""
        address = self._directory / "admin-address"
        address.unlink(missing_ok=True)
        command = [str(BINARY), "-c", str(self._file), "--concurrency", str(WORKERS), "--disable-hot-restart"]
        command += ["--admin-address-path", str(address), "-l", "warning"]
        with (self._directory / "envoy.log").open("ab") as log:
            process = self._process = subprocess.Popen(command, stdout=log, stderr=log)

        def written() -> str:
            assert process.poll() is None, (self._directory / "envoy.log").read_text()
            return address.read_text() if address.exists() else ""

        async with asyncio.timeout(_START_SECONDS):
            text = await until(written)
            self._admin_port = int(text.rpartition(":")[2])
            await until_answered(lambda: asyncio.to_thread(self._ready))

    def kill(self) -> None:
        """Kills Envoy with SIGKILL, and reaps it."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def freeze(self) -> None:
        """Stops Envoy with SIGSTOP: the kernel keeps its connections, but nothing is answered."""
        assert self._process is not None, "not started"
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continues Envoy with SIGCONT."""
        assert self._process is not None, "not started"
        self._process.send_signal(signal.SIGCONT)

    def stats(self, pattern: str) -> dict[str, int]:
        """Returns the counters and gauges whose name contains `pattern`."""
        lines = self._admin(f"/stats?filter={pattern}").splitlines()
        return {name: int(value) for name, _, value in (line.partition(": ") for line in lines) if value.isdigit()}

    async def __aenter__(self) -> EnvoyProcess:
        try:
            await self.start()
        except BaseException:
            self.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()

    def _ready(self) -> bool:
        """Returns whether Envoy serves. It writes its admin address before it listens there."""
        try:
            return self._admin("/ready").strip() == "LIVE"
        except ConnectionRefusedError:
            return False

    def _admin(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._admin_port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _bootstrap(
    port: int, tunnel_port: int, handshake_port: int, certificate: Path, key: Path, authority: Path
) -> Json:
    tls = {
        "@type": f"{_API}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_certificates": [
                {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
            ],
            "validation_context": {"trusted_ca": {"filename": str(authority)}},
        },
    }
    upgrade = {"upgrade_configs": [{"upgrade_type": "reverse-tunnel"}]}
    front = _listener("tunnels", tunnel_port, _manager("tunnels", _upgrade_route(), **upgrade))
    front["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": tls}
    clients = _listener("clients", port, _manager("clients", {"cluster": "nodes", "timeout": "0s"}))
    socket_interface = f"{_API}.bootstrap.reverse_tunnel.upstream_socket_interface.v3"
    return {
        "admin": {"address": _address(0)},
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.reverse_tunnel.upstream_socket_interface",
                "typed_config": {"@type": f"{socket_interface}.UpstreamReverseConnectionSocketInterface"},
            }
        ],
        "static_resources": {
            "listeners": [front, clients, _handshake_listener(handshake_port)],
            "clusters": [_nodes(), _handshake_cluster(handshake_port)],
        },
    }


def _listener(name: str, port: int, network_filter: Json) -> Json:
    return {"name": name, "address": _address(port), "filter_chains": [{"filters": [network_filter]}]}


def _manager(name: str, route: Json, **more: Any) -> Json:
    added = route.pop("request_headers_to_add", [])
    matched = {"match": {"prefix": "/"}, "route": route, "request_headers_to_add": added}
    config = {
        "@type": f"{_API}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "stream_idle_timeout": "0s",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [matched]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_API}.filters.http.router.v3.Router"}}],
        **more,
    }
    return {"name": "http", "typed_config": config}


def _upgrade_route() -> Json:
    ids = [
        {
            "header": {"key": f"x-envoy-reverse-tunnel-{kind}-id", "value": "%DOWNSTREAM_PEER_DNS_SAN%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
        for kind in ("node", "cluster", "tenant")
    ]
    return {"cluster": "handshake", "timeout": "0s", "request_headers_to_add": ids}


def _handshake_listener(port: int) -> Json:
    config = {
        "@type": f"{_API}.filters.network.reverse_tunnel.v3.ReverseTunnel",
        "ping_interval": "2s",
        "use_http_upgrade": True,
    }
    return _listener("handshake", port, {"name": "envoy.filters.network.reverse_tunnel", "typed_config": config})


def _handshake_cluster(port: int) -> Json:
    return {
        "name": "handshake",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "handshake",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}],
        },
    }


def _nodes() -> Json:
    return {
        "name": "nodes",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "1s",
        "cluster_type": {
            "name": "envoy.clusters.reverse_connection",
            "typed_config": {
                "@type": f"{_API}.clusters.reverse_connection.v3.ReverseConnectionClusterConfig",
                "host_id_format": "%REQ(x-trunkline-node)%",
            },
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_API}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "initial_stream_window_size": STREAM_WINDOW,
                        "initial_connection_window_size": 2 * STREAM_WINDOW,
                        "connection_keepalive": {"interval": "2s", "timeout": "60s"},
                    }
                },
            }
        },
    }
