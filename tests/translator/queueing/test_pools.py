"""Shares and waits before a pool of machines that is offered ten times its capacity, in simulated time."""

from __future__ import annotations

import pytest

from tests.translator.queueing.pools import Pool

WEIGHTS = {"one": 1, "other": 1, "double": 2}
SLOTS = 4


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))]


@pytest.mark.slow
async def test_organisations_share_a_pool_by_weight_and_wait_as_predicted() -> None:
    pool = Pool(WEIGHTS, slots=SLOTS, size=120)
    outcome = await pool.run(each=10 * SLOTS / len(WEIGHTS), seconds=300.0, warm=60.0)
    total = outcome.served.total()
    assert outcome.most_running == SLOTS
    assert total == pytest.approx(240 * SLOTS, rel=0.05)
    for name, weight in WEIGHTS.items():
        assert outcome.served[name] / total == pytest.approx(weight / sum(WEIGHTS.values()), rel=0.05)
        # The organisation that gets a place a second never waits much longer than that for the next one.
        assert outcome.longest_pause[name] < 5.0
    waited, predicted = zip(*outcome.waits, strict=True)
    assert len(waited) > 50
    assert percentile(list(waited), 0.99) == pytest.approx(percentile(list(predicted), 0.99), rel=0.2)


@pytest.mark.slow
async def test_machines_that_nobody_else_wants_are_one_organisations() -> None:
    """No capacity is reserved for a share that is not requested."""
    pool = Pool({"one": 1}, slots=SLOTS, size=50)
    outcome = await pool.run(each=10 * SLOTS, seconds=40.0, warm=10.0)
    assert outcome.served["one"] == pytest.approx(30 * SLOTS, rel=0.1)
