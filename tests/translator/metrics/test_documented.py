"""docs/metrics.md lists exactly the exposed metrics."""

from __future__ import annotations

import re
from pathlib import Path

import structlog
from prometheus_client.parser import text_string_to_metric_families

from tests.translator.ledger.edge import prices, settings
from tests.translator.ledger.test_request_histograms import ended
from translator.cache.gate import CacheGate
from translator.cache.stores import Stores
from translator.ledger.ledger import Ledger
from translator.limits import Limiter
from translator.metrics import Metrics
from translator.reading.pool import ReadingPool
from translator.waiting import WaitingRoom

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `((?:trunkline|gen_ai)_[a-z_]+)` \| (counter|gauge|histogram) \|", re.MULTILINE)


async def test_the_table_is_what_is_exposed(tmp_path: Path) -> None:
    limiter, log = Limiter(lambda *_: ()), structlog.get_logger()
    ledger, pool, metrics = Ledger(settings(tmp_path), limiter, prices(), log), ReadingPool(log), Metrics()
    waiting = WaitingRoom()
    metrics.sources += [ledger.samples, limiter.samples, pool.samples]
    metrics.sources += [CacheGate(Stores(log)).samples, waiting.samples]
    metrics.families.append(ledger.requests.pieces)
    ended(ledger.requests, stream=True)
    text = (await metrics.response()).body.decode()
    exposed = {
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type)
        for family in text_string_to_metric_families(text)
    }
    documented = {
        (name, kind)
        for name, kind in ROW.findall(DOCS.read_text())
        if not name.startswith(("trunkline_control_", "trunkline_node_"))
    }
    assert documented == exposed
