"""How much of the event loop one client may use."""

from __future__ import annotations

from xds_server.transport.work_budget import WorkBudget


def test_a_burst_then_a_part_of_the_time() -> None:
    budget, now = WorkBudget(part=0.2, burst=2.0), 100.0
    for _ in range(4):
        assert budget.spend(0.5, now) == 0.0
    began, worked, wait = now, 0.0, 0.0
    for _ in range(200):
        now += wait + 0.5
        wait = budget.spend(0.5, now)
        worked += 0.5
    assert 0.19 < worked / (now - began) < 0.22
    assert budget.spend(1.0, now + 1_000) == 0.0


def test_a_client_that_asks_for_little_never_waits() -> None:
    budget = WorkBudget()
    assert {budget.spend(0.05, float(at)) for at in range(1_000)} == {0.0}
