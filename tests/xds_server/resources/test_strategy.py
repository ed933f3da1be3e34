"""Tiers, weights and failover order."""

import pytest

from xds_server.model import NodesTarget, Price, Privacy, Provider, ProviderTarget, Route, Strategy, Timeouts
from xds_server.resources.routes import Attempts
from xds_server.resources.strategy import chains

PROVIDERS = {
    "a": Provider("a", "https://a.example/v1", credentials=("one", "two")),
    "b": Provider("b", "https://b.example/v1", credentials=("one",)),
    "c": Provider("c", "https://c.example/v1"),
}


def plan(
    *targets: ProviderTarget | NodesTarget, strategy: Strategy = Strategy.WEIGHTED, at: float = 100.0
) -> list[tuple[int, list[str]]]:
    route = Route("rt_1", "m", targets, strategy=strategy)
    return [(chain.weight, [hop.cluster for hop in chain.hops]) for chain in chains(route, PROVIDERS, at)]


def private_plan(*targets: ProviderTarget | NodesTarget, audience: str = "org_1") -> list[tuple[int, list[str]]]:
    route = Route("rt_1", "m", targets, privacy=Privacy.OWN_NODES)
    made = chains(route, PROVIDERS, 100.0, audience)
    return [(chain.weight, [hop.cluster for hop in chain.hops]) for chain in made]


def test_an_audience_has_pools_of_its_own() -> None:
    route = Route("rt_1", "m", (ProviderTarget("b", "m"), NodesTarget("m", tier=1)))
    (chain,) = chains(route, PROVIDERS, 100.0, "org_1")
    assert [hop.cluster for hop in chain.hops] == ["b/m", "nodes/m@org_1"]


def test_privacy_leaves_own_nodes_whatever_their_tier_and_weight() -> None:
    targets = (ProviderTarget("b", "m"), NodesTarget("m", tier=1, weight=0), NodesTarget("n", tier=2))
    assert private_plan(*targets) == [(1, ["nodes/m@org_1!", "nodes/n@org_1!"])]
    assert private_plan(*targets, audience="") == []
    assert private_plan(ProviderTarget("b", "m")) == []


def test_a_pool_is_worth_two_attempts() -> None:
    def retries(*targets: ProviderTarget | NodesTarget) -> int:
        plan = chains(Route("rt_1", "m", targets), PROVIDERS, 100.0)
        return Attempts.of(Timeouts(), plan, stream=False).retries

    assert retries(NodesTarget("m")) == 1
    assert retries(ProviderTarget("b", "m")) == 1
    assert retries(ProviderTarget("b", "m"), NodesTarget("m")) == 2


def test_each_first_tier_target_starts_a_chain_through_all_others() -> None:
    assert plan(
        ProviderTarget("b", "m", weight=80), ProviderTarget("c", "m", weight=20), NodesTarget("m", tier=1)
    ) == [
        (80, ["b/m", "c/m", "nodes/m"]),
        (20, ["c/m", "b/m", "nodes/m"]),
    ]


def test_credentials_split_a_targets_weight_and_are_tried_before_other_targets() -> None:
    assert plan(ProviderTarget("a", "m", weight=3), ProviderTarget("b", "m", weight=1)) == [
        (3, ["a/m", "a/m#2", "b/m"]),
        (3, ["a/m#2", "a/m", "b/m"]),
        (2, ["b/m", "a/m", "a/m#2"]),
    ]


def test_weight_zero_serves_as_a_fallback_only() -> None:
    assert plan(ProviderTarget("b", "m", weight=0), ProviderTarget("c", "m")) == [(1, ["c/m", "b/m"])]


@pytest.mark.parametrize(
    ("strategy", "first"),
    [
        (Strategy.WEIGHTED, ["c/m", "b/m", "nodes/m"]),
        (Strategy.PRIORITY, ["c/m", "nodes/m", "b/m"]),
        (Strategy.CHEAPEST, ["b/m", "c/m", "nodes/m"]),
        (Strategy.OWN_FIRST, ["nodes/m", "c/m", "b/m"]),
    ],
)
def test_strategies_order_the_same_targets_differently(strategy: Strategy, first: list[str]) -> None:
    targets = (
        ProviderTarget("c", "m", weight=2, prices=(Price(2, 2),)),
        NodesTarget("m", tier=1, prices=(Price(3, 3),)),
        ProviderTarget("b", "m", prices=(Price(1, 1),)),
    )
    assert plan(*targets, strategy=strategy)[0][1] == first


def test_cheapest_is_by_the_price_in_force() -> None:
    raised = (Price(1, 1, version=1), Price(9, 9, valid_from=200, version=2))
    targets = (ProviderTarget("b", "m", prices=raised), ProviderTarget("c", "m", prices=(Price(2, 2),)))
    assert plan(*targets, strategy=Strategy.CHEAPEST, at=199.0)[0][1] == ["b/m", "c/m"]
    assert plan(*targets, strategy=Strategy.CHEAPEST, at=200.0)[0][1] == ["c/m", "b/m"]


def test_what_has_no_price_is_cheapest() -> None:
    targets = (ProviderTarget("b", "m", prices=(Price(1, 0),)), NodesTarget("m"))
    assert plan(*targets, strategy=Strategy.CHEAPEST)[0][1] == ["nodes/m", "b/m"]
