"""How late usage records arrive."""

from __future__ import annotations

import pytest
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from xds_server.ledger import arrivals
from xds_server.ledger.arrivals import Arrival, Arrivals


def _request(source: str, *ended: float) -> pb.AppendRequest:
    records = [pb.UsageRecord(started_at_us=round((each - 2) * 1e6), duration_us=2_000_000) for each in ended]
    return pb.AppendRequest(source=source, records=records)


def test_the_newest_record_says_how_late_a_source_is() -> None:
    seen = Arrivals(lambda: 1_000.0)
    seen.note(_request("b", 900.0, 997.0))
    seen.note(_request("a", 1_000.5))  # its clock is ahead
    seen.note(_request("c"))
    assert seen.by_source() == [("a", Arrival(1_000.0, 0.0)), ("b", Arrival(1_000.0, 3.0))]


def test_the_source_that_was_silent_for_the_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "_MAX_SOURCES", 2)
    seen = Arrivals(lambda: 1_000.0)
    for source in ("a", "b", "a", "c"):
        seen.note(_request(source, 999.0))
    assert [source for source, _ in seen.by_source()] == ["a", "c"]
