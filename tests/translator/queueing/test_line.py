"""Shares, waits and predictions of a line in simulated time."""

from __future__ import annotations

import statistics

import pytest

from tests.translator.queueing.simulation import Waiter, simulate
from translator.queueing import Flow, Line

SLOTS = 4


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_organisations_share_the_places_by_their_weights_at_ten_times_overload(seed: int) -> None:
    flows = {Flow(name, weight, name, 4): 10 * SLOTS / 3 for name, weight in (("a", 1), ("b", 1), ("c", 2))}
    outcome = simulate(flows, slots=SLOTS, seconds=1500, size=200, warm=300, seed=seed)
    total = outcome.served.total()
    for name, share in (("a", 1 / 4), ("b", 1 / 4), ("c", 1 / 2)):
        assert outcome.served[name] / total == pytest.approx(share, rel=0.05)
    waited, predicted = ([wait[at] for wait in outcome.waits] for at in (0, 1))
    assert p99(waited) == pytest.approx(p99(predicted), rel=0.2)


@pytest.mark.slow
def test_one_that_offers_a_thousand_times_more_takes_nothing_from_others() -> None:
    greedy, modest = Flow("greedy", 1, "greedy", 4), Flow("modest", 1, "modest", 4)
    outcome = simulate({greedy: 300.0, modest: 0.3}, slots=SLOTS, seconds=600, size=50, warm=50)
    assert outcome.refused["modest"] == 0
    assert outcome.longest_pause["modest"] < 40
    assert outcome.refused["greedy"] > 100_000


@pytest.mark.slow
def test_keys_of_an_organisation_share_by_priority_and_low_never_starves() -> None:
    flows = {Flow("a", 1, name, weight): 20.0 for name, weight in (("high", 16), ("normal", 4), ("low", 1))}
    outcome = simulate(flows, slots=SLOTS, seconds=2000, size=200, warm=300)
    total = outcome.served.total()
    for name, share in (("high", 16 / 21), ("normal", 4 / 21), ("low", 1 / 21)):
        assert outcome.served[name] / total == pytest.approx(share, rel=0.05)
    assert outcome.longest_pause["low"] < 15


def test_a_full_line_lets_the_newest_of_the_greediest_go() -> None:
    line: Line[Waiter] = Line()
    waiting = [Waiter(Flow("a", 1, "k", 4)) for _ in range(3)]
    for each in waiting:
        assert line.join(each, 3, 0.0) is None
    another = Waiter(Flow("a", 1, "k", 4))
    assert line.join(another, 3, 1.0) is another
    other = Waiter(Flow("b", 1, "l", 4))
    assert line.join(other, 3, 1.0) is waiting[2]
    for expected in (waiting[0], other, waiting[1]):
        assert line.first() is expected
        line.serve(expected, 1.0)


def test_nobody_knows_the_wait_before_a_place_became_free() -> None:
    line: Line[Waiter] = Line()
    waiters = [Waiter(Flow("a", 1, "k", 4)) for _ in range(3)]
    for each in waiters:
        line.join(each, 10, 0.0)
    assert line.forecast(waiters[0].flow, 5.0) == (4, None)
    line.serve(waiters[0], 10.0)
    assert line.forecast(waiters[0].flow, 10.0) == (3, 30.0)
    assert line.position(waiters[1], 10.0) == (1, 10.0)
    assert line.position(waiters[2], 10.0) == (2, 20.0)
    assert line.clears(10.0) == 20.0
    # A place that is overdue makes the wait longer.
    assert line.forecast(waiters[0].flow, 30.0) == (3, 90.0)
    line.remove(waiters[1], 30.0)
    line.remove(waiters[2], 30.0)
    assert line.forecast(waiters[0].flow, 1_000.0) == (1, 30.0)
