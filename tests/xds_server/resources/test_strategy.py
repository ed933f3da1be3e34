"""Tiers, weights and failover order."""

import pytest

from xds_server.model import NodesTarget, Privacy, Provider, ProviderTarget, Route, Strategy, Timeouts
from xds_server.prices import TargetPrice
from xds_server.resources.routes import AttemptLimits
from xds_server.resources.strategy import PlannedHop, plan

PROVIDERS = {
    "a": Provider("a", "https://a.example/v1", credentials=("one", "two")),
    "b": Provider("b", "https://b.example/v1", credentials=("one",)),
    "c": Provider("c", "https://c.example/v1"),
}
Targets = ProviderTarget | NodesTarget


def places(*targets: Targets, strategy: Strategy = Strategy.WEIGHTED, at: float = 100.0) -> tuple[PlannedHop, ...]:
    return plan(Route("rt_1", "m", targets, strategy=strategy), PROVIDERS, at)


def order(*targets: Targets, strategy: Strategy = Strategy.WEIGHTED, at: float = 100.0) -> list[str]:
    return [place.hop.cluster for place in places(*targets, strategy=strategy, at=at)]


def shares(*targets: Targets) -> list[tuple[int, int, str]]:
    return [(place.tier, place.weight, place.hop.cluster) for place in places(*targets)]


def test_an_audience_is_served_by_what_it_owns_first() -> None:
    route = Route("rt_1", "m", (ProviderTarget("b", "m"), NodesTarget("m", tier=1, weight=2)))
    made = plan(route, PROVIDERS, 100.0, ("key_1", "org_1"))
    assert [(each.tier, each.group, each.weight, each.tries, each.hop.cluster) for each in made] == [
        (0, 0, 1, 1, "b/m"),
        (1, 1, 2, 2, "nodes/m@key_1"),
        (1, 1, 2, 2, "nodes/m@org_1"),
        (1, 1, 2, 2, "nodes/m"),
    ]
    mark = made[0].hop.mark
    assert [each.line for each in made][:2] == [f"0 0 1 1 t {mark} b/m\n", "1 1 2 2 m - nodes/m@key_1\n"]


def test_a_credential_has_the_same_mark_wherever_it_is_used_and_another_one_once_it_is_replaced() -> None:
    of_m, of_n = places(ProviderTarget("a", "m")), places(ProviderTarget("a", "n"))
    assert [each.hop.mark for each in of_m] == [each.hop.mark for each in of_n]
    (of_b,) = places(ProviderTarget("b", "m"))
    renewed = Provider("a", "https://a.example/v1", credentials=("new", "two"))
    (first, second) = plan(Route("rt_1", "m", (ProviderTarget("a", "m"),)), {"a": renewed}, 100.0)
    assert first.hop.mark not in {of_m[0].hop.mark, of_b.hop.mark}
    assert second.hop.mark == of_m[1].hop.mark
    assert not any("one" in each.line or "two" in each.line for each in of_m)


def test_privacy_leaves_own_nodes_whatever_their_tier_and_weight() -> None:
    targets = (ProviderTarget("b", "m"), NodesTarget("m", tier=1, weight=0), NodesTarget("n", tier=2))

    def private(*targets: Targets, owners: tuple[str, ...] = ("org_1",)) -> list[tuple[int, int, str]]:
        made = plan(Route("rt_1", "m", targets, privacy=Privacy.OWN_NODES), PROVIDERS, 100.0, owners)
        return [(each.tier, each.weight, each.hop.cluster) for each in made]

    assert private(*targets) == [(0, 1, "nodes/m@org_1"), (1, 1, "nodes/n@org_1")]
    assert private(*targets, owners=()) == []
    assert private(ProviderTarget("b", "m")) == []


def test_a_pool_is_worth_two_attempts_and_so_is_what_stands_alone() -> None:
    def retries(*targets: Targets) -> int:
        return AttemptLimits.of(Timeouts(), places(*targets), stream=False).retries

    assert retries(NodesTarget("m")) == 1
    assert retries(ProviderTarget("b", "m")) == 1
    assert retries(ProviderTarget("b", "m"), ProviderTarget("c", "m")) == 1
    assert retries(ProviderTarget("b", "m"), NodesTarget("m")) == 2


def test_a_paused_target_keeps_its_place_and_is_not_tried() -> None:
    b, paused = ProviderTarget("b", "m"), ProviderTarget("c", "m", paused=True)
    assert [each.tries for each in places(b, paused)] == [1, 0]
    assert [each.tries for each in places(paused)] == [0]
    assert [each.tries for each in places(NodesTarget("m", paused=True), b)] == [0, 1]


def test_every_tier_has_its_own_shares() -> None:
    assert shares(
        ProviderTarget("c", "m", weight=20),
        ProviderTarget("b", "m", weight=80),
        ProviderTarget("a", "n", tier=1),
        NodesTarget("m", tier=1),
    ) == [(0, 80, "b/m"), (0, 20, "c/m"), (1, 1, "a/n"), (1, 1, "a/n#2"), (1, 2, "nodes/m")]


def test_credentials_split_a_targets_weight() -> None:
    assert shares(ProviderTarget("a", "m", weight=3), ProviderTarget("b", "m", weight=1)) == [
        (0, 3, "a/m"),
        (0, 3, "a/m#2"),
        (0, 2, "b/m"),
    ]


def test_weight_zero_serves_as_a_fallback_only() -> None:
    assert shares(ProviderTarget("b", "m", weight=0), ProviderTarget("c", "m")) == [(0, 1, "c/m"), (0, 0, "b/m")]


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
        ProviderTarget("c", "m", weight=2, prices=(TargetPrice(2, 2),)),
        NodesTarget("m", tier=1, prices=(TargetPrice(3, 3),)),
        ProviderTarget("b", "m", prices=(TargetPrice(1, 1),)),
    )
    assert order(*targets, strategy=strategy) == first


def test_cheapest_is_by_the_price_in_force() -> None:
    raised = (TargetPrice(1, 1, version=1), TargetPrice(9, 9, valid_from=200, version=2))
    targets = (ProviderTarget("b", "m", prices=raised), ProviderTarget("c", "m", prices=(TargetPrice(2, 2),)))
    assert order(*targets, strategy=Strategy.CHEAPEST, at=199.0) == ["b/m", "c/m"]
    assert order(*targets, strategy=Strategy.CHEAPEST, at=200.0) == ["c/m", "b/m"]


def test_what_has_no_price_is_cheapest() -> None:
    targets = (ProviderTarget("b", "m", prices=(TargetPrice(1, 0),)), NodesTarget("m"))
    assert order(*targets, strategy=Strategy.CHEAPEST) == ["nodes/m", "b/m"]
