"""Refusals appear in the log, but a flood of them does not fill it."""

from __future__ import annotations

from structlog.testing import capture_logs

from tests.xds_server.nodes.reporting import StandingClock
from xds_server.errors import InvalidFieldError
from xds_server.nodes.refusals import Refusals


def test_a_refusal_says_who_was_refused_and_why() -> None:
    with capture_logs() as logs:
        Refusals(StandingClock()).log(
            "Report", "nd-1", InvalidFieldError(["offers: 20,000; accepted: at most 512"])
        )
    assert logs == [
        {
            "event": "node refused",
            "log_level": "warning",
            "call": "Report",
            "node": "nd-1",
            "reason": "offers: 20,000; accepted: at most 512",
        }
    ]


def test_a_flood_is_reported_in_a_few_lines() -> None:
    clock = StandingClock()
    refusals = Refusals(clock)
    with capture_logs() as logs:
        for _ in range(10_000):
            refusals.log("Report", "nd-1", InvalidFieldError(["x" * 10_000]))
        clock.move(1.5)
        refusals.log("Report", "nd-1", InvalidFieldError(["y"]))
    assert len(logs) == 21
    assert all(len(each["reason"]) <= 500 for each in logs)
    assert logs[-1]["refused_before_and_not_logged"] == 9_980
