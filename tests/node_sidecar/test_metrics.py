"""The node's metrics over HTTP."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from node_sidecar.errors import SettingsError
from node_sidecar.metrics import MetricsListener, page

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(trunkline_node_[a-z_]+)` \| (counter|gauge|histogram) \|", re.MULTILINE)
#: Names chosen by a local server or a driver; the page contains none of them.
EVIL = 'x"}\n# HELP evil'
STATUS: dict[str, Any] = {
    "in_flight": 3,
    "queued": 1,
    "concurrency": 16,
    "connections": 4,
    "reports": "open",
    "draining": False,
    "drained_by_operator": False,
    "serves": "its owner alone",
    "certificate_until": "2027-01-01T00:00:00+00:00",
    "servers": [{"healthy": True, "url": EVIL}, {"healthy": False, "url": EVIL}],
    "models": [{"healthy": True, "model": EVIL}],
    "gpus": [
        {"name": EVIL, "use_percent": 50, "memory_free": 2**36 + 1},
        {"name": EVIL, "use_percent": None, "memory_free": None},
    ],
}


def values(text: str) -> dict[tuple[str, ...], float]:
    return {
        (each.name.removeprefix("trunkline_node_"), *each.labels.values()): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def test_what_the_owner_sees() -> None:
    text = page(STATUS, {"forwarded": 2**53 - 1, "node_busy": 2}).decode()
    reported = values(text)
    assert reported["requests_total", "forwarded"] == 2**53 - 1
    assert reported["requests_total", "node_busy"] == 2
    assert (reported[("in_flight",)], reported[("concurrency",)], reported[("reports_open",)]) == (3, 16, 1)
    assert (reported["serves", "its owner alone"], reported["serves", "everybody"]) == (1, 0)
    assert (reported[("servers",)], reported[("servers_healthy",)]) == (2, 1)
    assert reported["gpu_use_ratio", "0"] == 0.5
    assert reported["gpu_memory_free_bytes", "0"] == 2**36 + 1
    assert ("gpu_use_ratio", "1") not in reported
    assert reported[("certificate_expiry_timestamp_seconds",)] == 1_798_761_600
    assert "evil" not in text


def test_the_table_is_what_is_exposed() -> None:
    text = page(STATUS, {"forwarded": 1}).decode()
    exposed = {
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type)
        for family in text_string_to_metric_families(text)
    }
    assert set(ROW.findall(DOCS.read_text())) == exposed


async def test_it_is_served_until_the_node_ends() -> None:
    listener = MetricsListener(("127.0.0.1", 0), lambda: page(STATUS, {}))
    await listener.start()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{listener.port}/metrics") as answer:
            assert answer.status == 200
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            assert values(await answer.text())[("queued",)] == 1
        async with session.get(f"http://127.0.0.1:{listener.port}/") as answer:
            assert answer.status == 404
    second = MetricsListener(("127.0.0.1", listener.port), bytes)
    with pytest.raises(SettingsError, match="--metrics-listen: cannot listen on"):
        await second.start()
    await listener.close()
