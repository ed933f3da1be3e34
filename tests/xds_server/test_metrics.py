"""The control plane's metrics, over real gRPC."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.api import httpbody_pb2
from prometheus_client.parser import text_string_to_metric_families
from trunkline_proto.metrics.v1 import metrics_pb2, metrics_pb2_grpc

from tests.xds_server.store.databases import new_sqlite
from tests.xds_server.test_clients import Client
from xds_server import metrics
from xds_server.admin.auth import TokenInterceptor
from xds_server.alerts.sender import AlertSender
from xds_server.alerts.webhook import Webhook
from xds_server.clients import ClientRegistry
from xds_server.ledger.ledger import Ledger
from xds_server.nodes.live import LiveNodes
from xds_server.protocol.snapshot import ResourceSnapshot
from xds_server.requests.attending import Translators
from xds_server.requests.resting import RestingTargets
from xds_server.rpc.authorise import bearer_token
from xds_server.store import AsyncStore, DatabaseUrl, Store
from xds_server.transport.ads import AdsServer

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(trunkline_control_[a-z_]+)` \| (counter|gauge|histogram) \|", re.MULTILINE)
TOKEN = "admin-token-of-the-tests-0123456789"


class Served:
    def __init__(self, directory: Path) -> None:
        self.clients = ClientRegistry()
        self.store = Store.open(new_sqlite(directory / "t.db"), key_file=directory / "secret.key")
        self.ledger = Ledger(DatabaseUrl.of_file(directory / "t.db"), self.store.write_lock)
        self.socket = directory / "s"
        self.server = grpc.aio.server(interceptors=[TokenInterceptor(TOKEN, but=[metrics.SERVICE])])
        ads = AdsServer(ResourceSnapshot(2**53 - 1), self.clients)
        alerts = AlertSender(self.ledger, AsyncStore(self.store), Webhook(""))
        resting = RestingTargets(AsyncStore(self.store), Translators())
        source = metrics.Source(ads, self.clients, self.ledger, LiveNodes(), alerts, resting=resting)
        metrics.serve(self.server, source, bearer_token(TOKEN))
        self.server.add_insecure_port(f"unix:{self.socket}")
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def scrape(self, address: str = "", token: str = "") -> httpbody_pb2.HttpBody:
        headers = [("authorization", f"Bearer {token}")] if token else None
        async with grpc.aio.insecure_channel(address or f"unix:{self.socket}") as channel:
            stub = metrics_pb2_grpc.MetricsStub(channel)
            return await stub.Scrape(metrics_pb2.ScrapeRequest(), metadata=headers, timeout=60)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(tmp_path)
    await made.server.start()
    yield made
    await made.server.stop(None)
    made.ledger.close()
    made.store.close()


async def test_clients_and_what_they_refused(served: Served) -> None:
    good, bad = Client(served.clients, "good"), Client(served.clients, "bad")
    for client in (good, bad):
        client.publish(2)
    good.answer()
    bad.answer("no such thing")
    body = await served.scrape()
    assert body.content_type.startswith("text/plain; version=0.0.4")
    reported = {
        (each.name.removeprefix("trunkline_control_"), *each.labels.values()): each.value
        for family in text_string_to_metric_families(body.data.decode())
        for each in family.samples
    }
    assert reported["clients", "envoy"] == 2
    assert reported["clients", "translator"] == 0
    assert (reported[("acks_total",)], reported[("nacks_total",)]) == (3, 1)
    assert reported[("clients_refusing",)] == 1
    # The number is exact to the last digit.
    assert reported[("revision",)] == 2**53 - 1


async def test_a_client_chooses_no_label(served: Served) -> None:
    client = Client(served.clients, 'edge"}\n# HELP evil')
    assert b"evil" not in (await served.scrape()).data
    assert client.registry is served.clients


async def test_over_tcp_it_needs_the_token(served: Served) -> None:
    address = f"127.0.0.1:{served.port}"
    for token in ("", "wrong-token-of-the-tests"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await served.scrape(address, token)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert (await served.scrape(address, TOKEN)).data


async def test_the_table_is_what_is_exposed(served: Served) -> None:
    text = (await served.scrape()).data.decode()
    exposed = {
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type)
        for family in text_string_to_metric_families(text)
    }
    assert set(ROW.findall(DOCS.read_text())) == exposed
