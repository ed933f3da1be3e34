"""The policy about limits and prices that translators receive."""

from __future__ import annotations

import pytest
from trunkline_proto.policy.v1 import policy_pb2

from xds_server.model import (
    Calendar,
    Gateway,
    Limit,
    Metric,
    NodesTarget,
    Organisation,
    ProviderTarget,
    Route,
    SharedCache,
)
from xds_server.prices import TargetPrice
from xds_server.resources import policy

NOW = 1_000_000.0
DAY = 86_400


def versions(*prices: TargetPrice) -> list[int]:
    route = Route("rt_1", "m", (ProviderTarget("a", "m", prices=prices),))
    (target,) = policy_pb2.Route.FromString(policy.route(route, NOW)).targets
    return [price.version for price in target.prices]


def test_a_limit_arrives_whole() -> None:
    limits = (
        Limit(Metric.COST_USD, 0, 5, Calendar.MONTH, "Europe/Berlin", "gpt-4.1"),
        Limit(Metric.TOKENS, 60, 7),
    )
    message = policy_pb2.Organisation.FromString(policy.organisation(Organisation("org_1", "acme", limits)))
    assert list(message.limits) == [
        policy_pb2.Limit(
            metric=policy_pb2.METRIC_COST_USD,
            amount=5,
            calendar=policy_pb2.CALENDAR_MONTH,
            time_zone="Europe/Berlin",
            model="gpt-4.1",
        ),
        policy_pb2.Limit(metric=policy_pb2.METRIC_TOKENS, per_seconds=60, amount=7),
    ]


def test_a_route_tells_its_limits_and_reservation() -> None:
    route = Route(
        "rt_1", "m", (NodesTarget("m"),), limits=(Limit(Metric.CONCURRENCY, 0, 2),), reserved_output_tokens=9
    )
    message = policy_pb2.Route.FromString(policy.route(route, NOW))
    assert list(message.limits) == [policy_pb2.Limit(metric=policy_pb2.METRIC_CONCURRENCY, amount=2)]
    assert message.reserved_output_tokens == 9
    assert list(message.targets) == [policy_pb2.Target(id="nodes/m")]


def test_a_price_arrives_whole() -> None:
    prices = (TargetPrice(1, 2, 0, 4, 5, 6), TargetPrice(1, 2, None, 4, int(NOW) + 5, 7))
    route = Route("rt_1", "m", (ProviderTarget("a", "m", prices=prices),))
    (target,) = policy_pb2.Route.FromString(policy.route(route, NOW)).targets
    cached, plain = target.prices
    assert cached == policy_pb2.Price(input=1, output=2, cached_input=0, request=4, valid_from=5, version=6)
    assert not plain.HasField("cached_input")


def test_prices_of_the_last_day_and_later_are_sent() -> None:
    day_ago = int(NOW) - DAY
    first, second = TargetPrice(1, version=1), TargetPrice(2, version=2, valid_from=day_ago - 10)
    later = TargetPrice(4, version=4, valid_from=int(NOW) + 100)
    assert versions(first, second, TargetPrice(3, version=3, valid_from=day_ago + 1), later) == [2, 3, 4]
    assert versions(first, second, TargetPrice(3, version=3, valid_from=day_ago), later) == [3, 4]
    assert versions(first) == [1]
    assert versions(later) == [4]


@pytest.mark.parametrize(
    ("store", "password", "ca_file", "told"),
    [
        ("memory", "", "", "memory"),
        ("redis://h:1/2", "", "", "redis://h:1/2"),
        ("redis://h:1/2", "p@:/ %é", "", "redis://:p%40%3A%2F%20%25%C3%A9@h:1/2"),
        ("rediss://u@[::1]", "p", "/ca dir/ca.pem", "rediss://u:p@[::1]?ssl_ca_certs=/ca%20dir/ca.pem"),
    ],
)
def test_translators_are_reported_how_to_sign_in_at_the_store(
    store: str, password: str, ca_file: str, told: str
) -> None:
    cache = SharedCache(store, 7, ca_file)
    assert policy.shared_cache(Gateway(cache=cache, cache_password=password)) == SharedCache(told, 7, ca_file)
