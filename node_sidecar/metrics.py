"""The node's metrics for the owner's Prometheus, served over HTTP only if the owner sets an address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web
from trunkline_proto.metrics import text
from trunkline_proto.metrics.text import Sample

from node_sidecar.errors import SettingsError

_PREFIX = "trunkline_node_"
#: GPUs with metrics of their own.
_MOST_GPUS = 64
_SERVES = ("everybody", "its owner alone", "nobody")


def page(status: Mapping[str, Any], outcomes: Mapping[str, int]) -> bytes:
    """Writes the page of metrics from `Node.status` and the outcomes of requests. Labels are numbers and fixed
    words.
    """
    return "".join(map(text.written, _samples(status, outcomes))).encode()


def _samples(status: Mapping[str, Any], outcomes: Mapping[str, int]) -> Iterator[Sample]:
    def gauge(name: str, help_text: str, value: float | Mapping[str, float], label: str = "") -> Sample:
        return Sample(_PREFIX + name, "gauge", help_text, value, label)

    yield Sample(f"{_PREFIX}requests_total", "counter", "Requests that ended, by outcome.", outcomes, "outcome")
    yield gauge("in_flight", "Requests that are being served.", status["in_flight"])
    yield gauge("queued", "Requests that wait for a slot.", status["queued"])
    yield gauge("concurrency", "Requests that may be served at once; 0 for no limit.", status["concurrency"])
    yield gauge("connections", "Open connections to the gateway.", status["connections"])
    yield gauge("reports_open", "1 while the gateway hears from this node.", status["reports"] == "open")
    draining = status["draining"] or status["drained_by_operator"]
    yield gauge("draining", "1 while no new request is taken.", draining)
    serves = {word: float(status["serves"] == word) for word in _SERVES}
    yield gauge("serves", "1 for whom the node serves.", serves, "whom")
    yield gauge("servers", "Local servers.", len(status["servers"]))
    servers, models = (sum(each["healthy"] for each in status[name]) for name in ("servers", "models"))
    yield gauge("servers_healthy", "Local servers that answer.", servers)
    yield gauge("models_healthy", "Models that are offered.", models)
    until = datetime.fromisoformat(status["certificate_until"]).timestamp()
    expires = "When the node's certificate expires, Unix seconds."
    yield gauge("certificate_expiry_timestamp_seconds", expires, until)
    gpus = {str(number): gpu for number, gpu in enumerate(status["gpus"][:_MOST_GPUS])}
    used = {n: gpu["use_percent"] / 100 for n, gpu in gpus.items() if gpu["use_percent"] is not None}
    yield gauge("gpu_use_ratio", "Use of a GPU by everybody, 0 to 1.", used, "gpu")
    free = {n: gpu["memory_free"] for n, gpu in gpus.items() if gpu["memory_free"] is not None}
    yield gauge("gpu_memory_free_bytes", "Free memory of a GPU.", free, "gpu")


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
        return web.Response(body=self._read(), headers={"content-type": text.CONTENT_TYPE})
