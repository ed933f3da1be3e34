"""The control plane's metrics as Prometheus text over gRPC; the REST server offers them over HTTP."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import grpc
from google.api import httpbody_pb2
from trunkline_proto.metrics.v1 import metrics_pb2, metrics_pb2_grpc

from xds_server.alerts.sender import AlertSender
from xds_server.clients import ClientRegistry
from xds_server.ledger.ledger import Ledger
from xds_server.nodes.live import LiveNodes
from xds_server.requests.resting import RestingTargets
from xds_server.rpc.authorise import WHAT_IS_NEEDED, Authorise
from xds_server.transport.ads import AdsServer

SERVICE = "trunkline.metrics.v1.Metrics"
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "trunkline_control_"


class Sample(NamedTuple):
    """One metric with one value, or with one value for each value of its only label."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    value: float | Mapping[str, float]
    label: str = ""


class Source:
    """Reads the parts of a control plane. Labels take values from fixed lists only."""

    def __init__(
        self,
        ads: AdsServer,
        clients: ClientRegistry,
        ledger: Ledger,
        live: LiveNodes,
        alerts: AlertSender,
        *,
        resting: RestingTargets,
    ) -> None:
        self._alerts = alerts
        self._ads = ads
        self._clients = clients
        self._ledger = ledger
        self._live = live
        self._resting = resting

    def samples(self) -> Iterable[Sample]:
        """Yields the metrics of the control plane at this moment."""
        counters = self._clients.counters()
        connected = {kind: counters.by_kind.get(kind, 0) for kind in ("envoy", "translator")}
        connected["other"] = counters.connected - sum(connected.values())
        plain: list[tuple[str, Literal["counter", "gauge"], str, float]] = [
            ("client_connects_total", "counter", "xDS streams that clients opened.", counters.connects),
            ("acks_total", "counter", "Responses that clients accepted.", counters.acks),
            ("nacks_total", "counter", "Responses that clients refused.", counters.nacks),
            ("clients_refusing", "gauge", "Connected clients that run an older configuration.", counters.refusing),
            (
                "revision",
                "gauge",
                "Revision of the configuration that is sent to clients.",
                self._ads.snapshot.revision,
            ),
            ("nodes_leased", "gauge", "Nodes that report.", self._live.leased),
            ("records_stored_total", "counter", "Usage records stored.", self._ledger.stored),
            (
                "records_repeated_total",
                "counter",
                "Usage records that had been stored before.",
                self._ledger.repeated,
            ),
            ("records_refused_total", "counter", "Usage records set aside.", self._ledger.refused),
        ]
        yield Sample(
            f"{_PREFIX}limit_alerts_total",
            "counter",
            "Alerts of limits: new, known already, sent, to be sent again, given up.",
            self._alerts.counts,
            "outcome",
        )
        yield Sample(f"{_PREFIX}clients", "gauge", "Connected xDS streams, by kind of client.", connected, "kind")
        rests = "Resting targets and credentials at connected gateways, by kind of alert."
        yield Sample(f"{_PREFIX}rests", "gauge", rests, self._resting.counts, "kind")
        for name, kind, help_text, value in plain:
            yield Sample(_PREFIX + name, kind, help_text, value)


class MetricsService(metrics_pb2_grpc.MetricsServicer):
    """Serves metrics: to anybody on the Unix socket, with the token over TCP. Simultaneous scrapes share one
    page.
    """

    def __init__(self, samples: Callable[[], Iterable[Sample]], authorise: Authorise) -> None:
        self._samples = samples
        self._authorise = authorise
        self._writing: asyncio.Task[bytes] | None = None

    async def Scrape(  # noqa: N802 - the RPC's name
        self, request: metrics_pb2.ScrapeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> httpbody_pb2.HttpBody:
        """Returns the page. Simultaneous calls share one."""
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        if not self._authorise(metadata, context.peer()):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, WHAT_IS_NEEDED)
        if self._writing is None:
            self._writing = asyncio.create_task(self.page(), name="metrics")
            self._writing.add_done_callback(self._done)
        return httpbody_pb2.HttpBody(content_type=_CONTENT_TYPE, data=await asyncio.shield(self._writing))

    def _done(self, _: asyncio.Task[bytes]) -> None:
        self._writing = None

    async def page(self) -> bytes:
        """Returns the metrics as Prometheus text."""
        # Imported in a thread and at the first scrape, so that startup does not wait for the library.
        await asyncio.to_thread(importlib.import_module, "prometheus_client")
        from prometheus_client import CollectorRegistry, Metric, generate_latest  # noqa: PLC0415

        registry = CollectorRegistry()
        for sample in self._samples():
            metric = Metric(sample.name.removesuffix("_total"), sample.help, sample.kind)
            values = sample.value if isinstance(sample.value, Mapping) else {"": sample.value}
            for key, value in values.items():
                metric.add_sample(sample.name, {sample.label: key} if sample.label else {}, value)
            registry.register(_StaticCollector(metric))
        return generate_latest(registry)


class _StaticCollector:
    """Collects a metric that was read before."""

    def __init__(self, metric: Any) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Any]:
        return (self._metric,)


def serve(server: grpc.aio.Server, source: Source, authorise: Authorise) -> None:
    """Adds the service to `server`."""
    metrics_pb2_grpc.add_MetricsServicer_to_server(MetricsService(source.samples, authorise), server)
