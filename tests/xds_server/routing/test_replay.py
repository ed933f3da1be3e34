"""Replays of past requests, against cases computed by hand."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.xds_server.ledger.usage import HOUR, MONDAY_10, usage
from xds_server.model import ProviderTarget, Route, Strategy
from xds_server.prices import TargetPrice
from xds_server.routing.outcome import divide, total
from xds_server.routing.replay import ReplayScope
from xds_server.routing.simulation import Proposal, Simulation, SimulationResult
from xds_server.routing.tiers import Weighted
from xds_server.usage.records import columns

NOW = MONDAY_10 + HOUR
TIMES = range(MONDAY_10 * 1_000_000, NOW * 1_000_000)
EVERYBODY = ReplayScope("gpt-4.1")
CHEAP, DEAR = TargetPrice(input=1_000_000, output=2_000_000), TargetPrice(input=4_000_000, output=8_000_000)


def route(*targets: ProviderTarget, strategy: Strategy = Strategy.WEIGHTED, **fields: Any) -> Route:
    return Route("rt_a", "gpt-4.1", targets, strategy=strategy, **fields)


def a(weight: int = 1, price: TargetPrice | None = DEAR, **fields: Any) -> ProviderTarget:
    return ProviderTarget("a", "m", weight, prices=(price,) if price else (), **fields)


def b(weight: int = 1, price: TargetPrice | None = CHEAP, **fields: Any) -> ProviderTarget:
    return ProviderTarget("b", "m", weight, prices=(price,) if price else (), **fields)


def requests(number: int, target: str, **fields: Any) -> list[pb.UsageRecord]:
    """Returns records spread over the hour: slow at `a`, quick elsewhere."""
    first = 1_000_000 if target == "a/m" else 100_000
    given = {
        "target_id": target, "stream": True, "prompt_tokens": 100, "cached_tokens": 0, "completion_tokens": 50,
        "first_byte_us": first, "duration_us": first + 500_000, **fields,
    }  # fmt: skip
    return [usage(MONDAY_10 + HOUR * index / number, **given) for index in range(number)]


def simulated(
    proposed: Route, current: Route | None, records: list[pb.UsageRecord], scope: ReplayScope = EVERYBODY
) -> SimulationResult:
    simulation = Simulation([Proposal(proposed, current, scope)], TIMES, NOW)
    for start in range(0, len(records), 100):
        simulation.add(columns(records[start : start + 100]))
    (found,) = simulation.result()
    return found


def shares(outcome: Any) -> dict[str, float]:
    whole = total(outcome).requests
    return {target: round(part.requests / whole, 2) for target, part in outcome.items()}


def test_a_route_that_stays_as_it_is_gives_what_was_recorded() -> None:
    """A request of 100 prompt and 50 completion tokens costs 800 micro-USD at the expensive target, 200 at the
    cheap one.
    """
    records = requests(300, "a/m", cost_nano_usd=800_000) + requests(100, "b/m", cost_nano_usd=200_000)
    found = simulated(route(a(75), b(25)), route(a(75), b(25)), records)
    assert (found.requests, found.notes) == (400, [])
    for outcome in (found.recorded, found.now, found.proposed):
        assert outcome is not None
        assert shares(outcome) == {"a/m": 0.75, "b/m": 0.25}
        assert total(outcome).nano_usd == pytest.approx(300 * 800_000 + 100 * 200_000)
        assert outcome["a/m"].first_byte_us(0.5) == pytest.approx(1_000_000, rel=0.05)
        assert outcome["b/m"].mean_seconds == pytest.approx(0.6, rel=0.05)


def test_other_weights_cost_and_take_what_follows() -> None:
    found = simulated(route(a(0), b()), route(a(), b()), requests(200, "a/m") + requests(200, "b/m"))
    assert shares(found.proposed) == {"a/m": 0.0, "b/m": 1.0}
    assert total(found.proposed).nano_usd == pytest.approx(400 * 200_000)
    assert total(found.proposed).mean_seconds == pytest.approx(0.6, rel=0.05)
    assert found.now is not None
    assert total(found.now).mean_seconds == pytest.approx((0.6 + 1.5) / 2, rel=0.05)


@pytest.mark.parametrize(
    ("strategy", "best"), [(Strategy.FASTEST, "b/m"), (Strategy.CHEAPEST, "a/m"), (Strategy.PRIORITY, "a/m")]
)
def test_strategies_rank_by_what_was_measured(strategy: Strategy, best: str) -> None:
    records = requests(300, "a/m") + requests(300, "b/m")
    found = simulated(route(a(price=CHEAP), b(price=DEAR), strategy=strategy), None, records)
    assert shares(found.proposed)[best] >= 0.97


def test_a_target_is_ranked_by_what_it_was_like_at_the_time() -> None:
    """`a` is quick for half an hour, then slow."""
    quick = requests(400, "a/m", first_byte_us=50_000, duration_us=500_000)[:200]
    slow = requests(400, "a/m")[200:]
    found = simulated(route(a(), b(), strategy=Strategy.FASTEST), None, [*quick, *slow, *requests(400, "b/m")])
    assert 0.4 <= shares(found.proposed)["a/m"] <= 0.6


def test_the_cache_hits_of_a_target_are_its_own() -> None:
    """`a` reads 80 % of its prompts from its cache, at a tenth of the price; `b` reads none."""
    cached = TargetPrice(input=1_000_000, cached_input=100_000, output=0)
    records = requests(100, "a/m", cached_tokens=80) + requests(100, "b/m")
    found = simulated(route(a(price=cached)), route(b(price=cached)), records)
    assert found.now is not None
    assert total(found.proposed).nano_usd == pytest.approx(200 * (20 * 1_000 + 80 * 100))
    # Requests that `a` served have their recorded count; at `b` they would have none.
    assert total(found.now).nano_usd == pytest.approx(200 * 100 * 1_000)


def test_a_paused_target_serves_nothing() -> None:
    records = requests(100, "a/m") + requests(100, "b/m")
    for strategy in (Strategy.WEIGHTED, Strategy.CHEAPEST, Strategy.FASTEST):
        found = simulated(route(a(), b(paused=True), strategy=strategy), None, records)
        assert shares(found.proposed) == {"a/m": 1.0, "b/m": 0.0}


def test_what_fails_goes_on_to_the_next_target() -> None:
    failed = [pb.FailedAttempt(target_id="a/m", status=500)]
    records = requests(500, "a/m") + requests(500, "b/m", failed_attempts=failed)
    found = simulated(route(a(), b(tier=1)), route(a(), b(tier=1)), records)
    assert shares(found.proposed)["b/m"] == pytest.approx(0.5, abs=0.05)


@given(
    st.lists(st.lists(st.integers(0, 100), min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.floats(0, 0.95), min_size=12, max_size=12),
)
def test_every_request_is_served_once(weights: list[list[int]], rates: list[float]) -> None:
    names = iter(range(100))
    tiers = [[Weighted(ProviderTarget("p", str(next(names))), weight) for weight in tier] for tier in weights]
    ids = [each.target.id for tier in tiers for each in tier]
    served, failed = divide(tiers, dict(zip(ids, rates, strict=False)))
    assert min(served.values()) >= 0
    assert min(failed.values()) >= 0
    assert sum(served.values()) == pytest.approx(1.0 if any(weights[0]) else 0.0)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter(chance: random.Random) -> None:
    records = requests(60, "a/m") + requests(40, "b/m", cached_tokens=50)
    proposed = route(a(), b(), strategy=Strategy.BALANCED)
    one = simulated(proposed, None, records)
    chance.shuffle(records)
    other = simulated(proposed, None, records)
    assert shares(one.proposed) == shares(other.proposed)
    assert total(one.proposed).nano_usd == pytest.approx(total(other.proposed).nano_usd)


def test_what_no_target_answered_is_not_replayed() -> None:
    records = [
        *requests(10, "a/m"), *requests(3, "", status=503), *requests(2, "a/m", status=400),
        *requests(1, "a/m", expired=True), *requests(4, "", cache_hit=True), *requests(5, "a/m", model="other"),
        *requests(6, "a/m", organisation_id="org_b"), usage(MONDAY_10 - 1, target_id="a/m"),
        usage(NOW, target_id="a/m"),
    ]  # fmt: skip
    found = simulated(route(a()), None, records, ReplayScope("gpt-4.1", but=frozenset({"org_b"})))
    assert (found.requests, found.failed, found.cached) == (10, 6, 4)
    only = simulated(route(a()), None, records, ReplayScope("gpt-4.1", "org_b"))
    assert only.requests == 6


@pytest.mark.parametrize(
    ("proposed", "said"),
    [
        (route(a(), b(price=None)), "b/m: it has no price"),
        (route(a(), ProviderTarget("c", "m", prices=(DEAR,))), "c/m: it has no measurements"),
        (
            route(a(), ProviderTarget("elsewhere", "m", prices=(DEAR,))),
            "elsewhere/m: it was measured with requests",
        ),
        (route(a(), b()), "b/m: it served only 7 of the requests"),
        (route(a(price=TargetPrice(input=1, valid_from=NOW + 9)), b(6)), "a/m: it has no price"),
    ],
)
def test_what_the_figures_do_not_know_is_said(proposed: Route, said: str) -> None:
    records = requests(100, "a/m") + requests(7, "b/m") + requests(50, "elsewhere/m", model="other")
    found = simulated(proposed, route(a()), records)
    assert [note for note in found.notes if note.startswith(said)]


def test_the_times_leave_out_what_was_never_measured() -> None:
    found = simulated(route(a(), ProviderTarget("c", "m", 3)), None, requests(100, "a/m"))
    whole = total(found.proposed)
    assert whole.timed / whole.requests == pytest.approx(0.25)
    assert whole.mean_seconds == pytest.approx(1.5, rel=0.05)


@pytest.mark.parametrize("strategy", [Strategy.WEIGHTED, Strategy.CHEAPEST, Strategy.FASTEST, Strategy.BALANCED])
def test_records_with_any_figures_cost_nothing_negative(strategy: Strategy) -> None:
    for tokens in itertools.product((0, 1, 10**13), repeat=3):
        used = dict(zip(("prompt_tokens", "cached_tokens", "completion_tokens"), tokens, strict=True))
        records = requests(5, "a/m", first_byte_us=0, **used) + requests(5, "gone/m", duration_us=0, **used)
        found = simulated(route(a(), b(), strategy=strategy), None, records).proposed
        assert sum(each.requests for each in found.values()) == pytest.approx(10)
        assert all(min(each.nano_usd, each.seconds, each.requests) >= 0 for each in found.values())


def test_of_nothing_nothing_is_replayed() -> None:
    found = simulated(route(a()), None, [usage(model="other")])
    assert (found.requests, total(found.proposed).requests) == (0, 0)
    assert found.notes == [
        "there is no such route now: nothing to compare with",
        "no answered request is recorded in this period: there is nothing to replay",
        "a/m: it has no measurements, so its requests are left out of the expected times",
    ]
