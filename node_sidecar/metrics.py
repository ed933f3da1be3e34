"""The node's metrics for the owner's Prometheus, served over HTTP only if the owner sets an address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric, generate_latest

from node_sidecar.errors import SettingsError

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "trunkline_node_"
#: GPUs with metrics of their own.
_MOST_GPUS = 64
_SERVES = ("everybody", "its owner alone", "nobody")


class _Given:
    """A collector that holds one metric."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)


def page(status: Mapping[str, Any], outcomes: Mapping[str, int]) -> bytes:
    """Writes the page of metrics from `Node.status` and the outcomes of requests. Labels are numbers and fixed
    words.
    """
    registry = CollectorRegistry()

    def add(name: str, kind: str, text: str, values: Mapping[str, float | None], label: str = "") -> None:
        metric = Metric(_PREFIX + name.removesuffix("_total"), text, kind)
        for key, value in values.items():
            if value is not None:
                metric.add_sample(_PREFIX + name, {label: key} if label else {}, value)
        registry.register(_Given(metric))

    def gauge(name: str, text: str, value: float) -> None:
        add(name, "gauge", text, {"": value})

    add("requests_total", "counter", "Requests that ended, by outcome.", outcomes, "outcome")
    gauge("in_flight", "Requests that are being served.", status["in_flight"])
    gauge("queued", "Requests that wait for a slot.", status["queued"])
    gauge("concurrency", "Requests that may be served at once; 0 for no limit.", status["concurrency"])
    gauge("connections", "Open connections to the gateway.", status["connections"])
    gauge("reports_open", "1 while the gateway hears from this node.", status["reports"] == "open")
    gauge("draining", "1 while no new request is taken.", status["draining"] or status["drained_by_operator"])
    serves = {word: float(status["serves"] == word) for word in _SERVES}
    add("serves", "gauge", "1 for whom the node serves.", serves, "whom")
    gauge("servers", "Local servers.", len(status["servers"]))
    gauge("servers_healthy", "Local servers that answer.", sum(each["healthy"] for each in status["servers"]))
    gauge("models_healthy", "Models that are offered.", sum(each["healthy"] for each in status["models"]))
    until = datetime.fromisoformat(status["certificate_until"]).timestamp()
    gauge("certificate_expiry_timestamp_seconds", "When the node's certificate expires, Unix seconds.", until)
    gpus = {str(number): gpu for number, gpu in enumerate(status["gpus"][:_MOST_GPUS])}
    used = {n: None if gpu["use_percent"] is None else gpu["use_percent"] / 100 for n, gpu in gpus.items()}
    add("gpu_use_ratio", "gauge", "Use of a GPU by everybody, 0 to 1.", used, "gpu")
    free = {number: gpu["memory_free"] for number, gpu in gpus.items()}
    add("gpu_memory_free_bytes", "gauge", "Free memory of a GPU.", free, "gpu")
    return generate_latest(registry)


class MetricsListener:
    """Serves `read()` at `/metrics` on `address`, without authentication."""

    def __init__(self, address: tuple[str, int], read: Callable[[], bytes]) -> None:
        self._address = address
        self._read = read
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Binds. Raises SettingsError."""
        application = web.Application()
        application.router.add_get("/metrics", self._answer)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        host, port = self._address
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = error.strerror or str(error)
            raise SettingsError(f"--metrics-listen: cannot listen on {host}:{port}: {reason}") from error
        self.port = self._runner.addresses[0][1]

    async def run(self) -> None:
        """Serves until cancelled. `start` comes first."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        return web.Response(body=self._read(), headers={"content-type": _CONTENT_TYPE})
