"""Limits and prices from the policy's messages."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from translator.errors import PolicyError
from translator.limits import LimitSet, Metric
from translator.policy.limits import limits
from translator.policy.pricing import Ceiling
from translator.policy.store import PolicyStore

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        (policy.Limit(metric=policy.METRIC_TOKENS, amount=1), "a window of 0 seconds"),
        (policy.Limit(per_seconds=60, amount=1), "metric 0 is not known"),
        (policy.Limit(metric=99, per_seconds=60, amount=1), "metric 99 is not known"),  # type: ignore[arg-type]
        (policy.Limit(metric=policy.METRIC_TOKENS, calendar=99), "calendar 99 is not known"),  # type: ignore[arg-type]
        (
            policy.Limit(metric=policy.METRIC_TOKENS, calendar=policy.CALENDAR_DAY, time_zone="Mars/Base"),
            "'Mars/Base' is not known on this machine",
        ),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused_with_what_it_came_with(limit: policy.Limit, why: str) -> None:
    for url, message in (
        (policies.ORGANISATION, policies.organisation()),
        (policies.KEY, policies.key()),
        (policies.ROUTE, policies.route()),
    ):
        store = PolicyStore()
        message.limits.append(limit)
        with pytest.raises(PolicyError, match=why):
            store.apply(policies.response(url, message))
        assert set(store.counts.values()) == {0}


def test_windows() -> None:
    messages = [
        policy.Limit(metric=policy.METRIC_CONCURRENCY, per_seconds=60, amount=1),
        policy.Limit(metric=policy.METRIC_TOKENS, per_seconds=60, amount=2),
        policy.Limit(metric=policy.METRIC_COST_USD, calendar=policy.CALENDAR_WEEK, amount=3),
        policy.Limit(
            metric=policy.METRIC_REQUESTS, calendar=policy.CALENDAR_DAY, time_zone="Asia/Tokyo", amount=4
        ),
    ]
    made = limits(messages, "key", "key_a", "a")
    assert [(each.metric, each.window, each.amount) for each in made] == [
        (Metric.CONCURRENCY, "-", 1),
        (Metric.TOKENS, "60", 2),
        (Metric.COST_USD, "week@UTC", 3_000),
        (Metric.REQUESTS, "day@Asia/Tokyo", 4),
    ]


def test_limits_of_models_apply_to_those_and_the_others_to_all() -> None:
    messages = [
        policy.Limit(metric=policy.METRIC_TOKENS, per_seconds=60, amount=9),
        policy.Limit(metric=policy.METRIC_TOKENS, per_seconds=60, amount=5, model="a"),
        policy.Limit(metric=policy.METRIC_TOKENS, per_seconds=60, amount=4, model="a"),
        policy.Limit(metric=policy.METRIC_COST_USD, per_seconds=60, amount=3, model="a"),
    ]
    held = LimitSet(limits(messages, "key", "key_a", "a"))
    # The stricter of two limits with the same id counts.
    assert [each.amount for each in held.of("a")] == [9, 4, 3_000]
    assert [each.amount for each in held.of("b")] == [9]
    assert held.of("c") is held.of("b")


def test_what_limits_a_request_comes_and_goes_with_its_holders() -> None:
    rate = policy.Limit(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=1)
    organisation, key, route = policies.organisation(), policies.key(), policies.route()
    for message in (organisation, key, route):
        message.limits.append(rate)
    store = policies.store(organisation, key, route)
    held = store.key_by_id("key_ci")
    assert held is not None
    grant = store.grant(held, "gpt-4.1")
    assert grant is not None
    assert [each.holder for each in grant.applicable.limits] == ["organisation", "key", "route"]
    by_id = ("org_acme", "key_ci", "rt_gpt", "gpt-4.1")
    assert store.limits_by_id(*by_id) == grant.applicable.limits
    store.apply(policies.response(policies.ROUTE, removed=["rt_gpt"]))
    store.apply(policies.response(policies.ORGANISATION, removed=["org_acme"]))
    assert [each.holder for each in store.limits_by_id(*by_id)] == ["key"]


def test_the_price_of_the_moment() -> None:
    history = [
        policy.Price(output=5 * MILLION, valid_from=0, version=1),
        policy.Price(output=2 * MILLION, valid_from=1_000, version=2),
        policy.Price(output=9 * MILLION, valid_from=2_000, version=3),
    ]
    ceiling = Ceiling([policy.Target(id="a", prices=history)])
    moments = (5_000, 1_999.9, 1_000, 999, 2_000, 0, 1_500)  # in any order
    assert [ceiling.cost(0, 1, at) for at in moments] == [each * 1_000 for each in (9, 2, 2, 5, 9, 5, 2)]


def test_a_price_that_is_yet_to_come_is_free_until_then() -> None:
    ceiling = Ceiling(
        [policy.Target(id="a", prices=[policy.Price(request=7, valid_from=100)]), policy.Target(id="b")]
    )
    assert [ceiling.cost(1, 1, at) for at in (99, 100)] == [0, 7_000]


def test_without_prices_everything_is_free() -> None:
    assert Ceiling([policy.Target(id="a")]).cost(10**9, 10**9, 0) == 0


def test_no_rebate_of_a_providers_cache_is_counted_on_but_a_surcharge_is() -> None:
    for cached, expected in ((1, 8_000), (9, 9_000)):
        price = policy.Price(input=8 * MILLION, cached_input=cached * MILLION)
        assert Ceiling([policy.Target(id="a", prices=[price])]).cost(1, 0, 0) == expected


@pytest.mark.parametrize(
    ("word", "nano_usd"),
    [
        (
            "i3:1024x1024:high",
            3 * 167_000_000,
        ),  # the most expensive: a target may generate another size than requested
        ("s1000:mp3", 1_000 * 15_000 + 100 * 200_000),
        ("t60000", 60 * 100_000),
        ("r250", 3 * 2_000_000),
        ("", 0),
    ],
)
def test_what_is_asked_for_beside_text_is_reserved(word: str, nano_usd: int) -> None:
    images = [policy.ImagePrice(name=name, price=price) for name, price in (("low", 11_000), ("high", 167_000))]
    full = policy.Price(
        character=15 * MILLION, search_unit=2_000, audio_second_output=200 * MILLION,
        audio_second_input=100 * MILLION, images=images,
    )  # fmt: skip
    ceiling = Ceiling(
        [policy.Target(id="a", prices=[full]), policy.Target(id="b", prices=[policy.Price(input=1)])]
    )
    assert ceiling.cost_of_units(word, 0) == nano_usd
    assert Ceiling([policy.Target(id="a")]).cost_of_units(word, 0) == 0


@given(
    prices=st.lists(
        st.lists(
            st.tuples(st.integers(0, 9), st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 100)),
            max_size=4,
            unique_by=lambda each: each[0],
        ),
        max_size=4,
    ),
    asked=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10)), min_size=1),
)
def test_the_most_expensive_target_counts(
    prices: list[list[tuple[int, int, int, int]]], asked: list[tuple[int, int, int]]
) -> None:
    targets = [
        policy.Target(
            prices=[policy.Price(valid_from=since, input=i, output=o, request=r) for since, i, o, r in history]
        )
        for history in prices
    ]
    ceiling = Ceiling(targets)
    for prompt, completion, at in asked:
        costs = [0]
        for history in prices:
            began = [each for each in history if each[0] <= at]
            if began:
                _, by_prompt, by_completion, request = max(began)
                exact = prompt * by_prompt + completion * by_completion
                costs.append((exact + 500) // 1_000 + request * 1_000)
        assert ceiling.cost(prompt, completion, at) == max(costs)
