"""Every strategy ranks targets with any prices and any measurements, or none."""

from __future__ import annotations

import itertools
import random

import pytest

from xds_server.model import ProviderTarget, Route, Strategy
from xds_server.prices import TargetPrice
from xds_server.routing.explain import explain
from xds_server.routing.measured import Measurements
from xds_server.routing.rankings import rankings
from xds_server.routing.slots import RouteCredential, RouteTarget, Slot, slot_of
from xds_server.routing.tiers import tiers

NOW = 1_800_000_000.0
PRICES: list[tuple[TargetPrice, ...]] = [
    (),
    (TargetPrice(input=0, output=0),),
    (TargetPrice(input=1, output=1),),
    (TargetPrice(input=0, output=10**9),),
    (TargetPrice(input=10**15, output=10**15, request=10**9),),
    (TargetPrice(input=5, output=5, cached_input=0),),
    (TargetPrice(input=1, output=1, valid_from=int(NOW) + 1),),
]
SLOTS = [
    None,
    Slot(),
    Slot(served=1),
    Slot(served=1, streams=1, first_us={100: 1}),
    Slot(served=5, streams=5, reported=5, first_us={0: 5}, token_us={1: 5}),
    Slot(served=5, reported=5, prompt_tokens=10**13, completion_tokens=10**13, whole_us={300: 5}),
    Slot(served=3, reported=3, prompt_tokens=5, cached_tokens=9, whole_us={100: 3}),
    Slot(prompt_tokens=5, cached_tokens=5),
    Slot(failed=5, failed_from={slot_of(NOW): 5}),
    Slot(failed=5, failed_from={slot_of(NOW) + 10_000: 5}),
    Slot(limited=10**6),
]
ALL = list(itertools.product(PRICES, PRICES, SLOTS, SLOTS))


@pytest.mark.parametrize("strategy", [Strategy.CHEAPEST, Strategy.FASTEST, Strategy.BALANCED])
@pytest.mark.parametrize("balance", [1, 99])
def test_whatever_is_known_of_targets_one_of_them_serves(strategy: Strategy, balance: int) -> None:
    for price, other_price, slot, other_slot in random.Random(balance).sample(ALL, 300):
        targets = (ProviderTarget("a", "m", prices=price), ProviderTarget("b", "m", prices=other_price))
        route = Route("rt", "m", targets, strategy=strategy, balance=balance)
        measurements = Measurements()
        for name, measured in (("a/m", slot), ("b/m", other_slot)):
            if measured is not None:
                measurements.add(slot_of(NOW), {RouteCredential(RouteTarget("rt", name)): measured})
        ranked = rankings([route], measurements, {}, NOW)
        (weighted,) = tiers(route, NOW, ranked)
        assert all(each.weight >= 0 for each in weighted)
        assert any(each.weight for each in weighted)
        _, explained = explain(route, measurements, ranked, NOW)
        assert sum(each.share for each in explained) == pytest.approx(1)
