"""SQLite answers queries by its keys: a scan or a sort of a year of roll-ups would take minutes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.xds_server.ledger.usage import usage
from xds_server.ledger import daily, reports, requests, sampling, writing
from xds_server.ledger.connection import LedgerTransaction, open_writer
from xds_server.ledger.query import Dimension, Filter
from xds_server.store import DatabaseUrl, Store
from xds_server.store.connection import Row
from xds_server.usage import records

AGAIN = [usage(), usage()]
LARGE = ("usage_hour", "usage_first_byte", "usage_block", "usage_request", "usage_tag", "h", "f")


class Explained(LedgerTransaction):
    """Collects the plan of every statement that returns rows."""

    plan: list[str]

    def rows(self, statement: str, *parameters: object) -> list[Row]:
        self.plan += [row[3] for row in super().rows(f"EXPLAIN QUERY PLAN {statement}", *parameters)]
        return super().rows(statement, *parameters)


def explained(work: Callable[[Explained], object], directory: Path) -> list[str]:
    url = DatabaseUrl.of_file(directory / "t.db")
    store = Store.open(url, key_file=directory / "k")
    writer = open_writer(url, threading.Lock())
    with writer.transaction() as opened:
        writing.append(opened, records.columns([usage(), usage(tag="a")]))
        view = Explained(opened._cursor, placeholder="?")
        view.plan = []
        work(view)
    writer.close()
    store.close()
    return view.plan


@pytest.mark.slow
@pytest.mark.parametrize(
    "work",
    [
        lambda view: reports.report(view, Filter(), [Dimension.MODEL]),
        lambda view: reports.report(view, Filter(since=3600), [Dimension.HOUR, Dimension.DAY, Dimension.KEY]),
        lambda view: reports.compare(view, Filter(model="m")),
        lambda view: requests.top(view, Filter(), "cost_nano_usd", 5),
        lambda view: sampling.choose(view, Filter(since=3600)),
        lambda view: requests.page(view, Filter(), requests.Cursor(), 5),
        lambda view: writing.append(view, records.columns([usage(), usage(tag="b")])),
        lambda view: [writing.append(view, records.columns(AGAIN)) for _ in range(2)],
    ],
    ids=["by model", "by hour and day", "compare", "top", "sample", "export", "append", "append again"],
)
def test_nothing_large_is_scanned_or_sorted(work: Callable[[Explained], object], tmp_path: Path) -> None:
    plan = explained(work, tmp_path)
    assert any(step.startswith("SEARCH") for step in plan)
    assert [step for step in plan if step.startswith("SCAN") and step.split()[1] in LARGE] == []
    # Only the sums are sorted at the end, one row per series; nothing is sorted before.
    if "MATERIALIZE sums" in plan:
        plan = plan[: plan.index("SCAN sums")]
    assert [step for step in plan if "TEMP B-TREE" in step] == []


@pytest.mark.slow
def test_the_next_day_to_sum_is_found_without_a_look_at_any_series(tmp_path: Path) -> None:
    """The search runs once a minute under the write lock; among 100,000 series it used to take a second."""
    plan = explained(daily.first_missing, tmp_path)
    assert {step.split()[1] for step in plan} == {"usage_day_position", "usage_open_day"}
