"""A price history only grows; the prices of past charges never change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from xds_server.errors import PastPriceError
from xds_server.prices import TargetPrice, price_in_force
from xds_server.store.writing.prices import continued

NOW = 1_000_000
A, B, C = TargetPrice(1, 2), TargetPrice(3, 4), TargetPrice(5, 6, cached_input=1, request=7)
FREE = TargetPrice()


def history(*prices: tuple[TargetPrice, int]) -> tuple[TargetPrice, ...]:
    """Returns prices from (rates, valid_from), numbered from 1."""
    return tuple(
        replace(price, valid_from=start, version=number) for number, (price, start) in enumerate(prices, 1)
    )


def then(
    before: tuple[TargetPrice, ...], wanted: TargetPrice, valid_from: int = 0, *, is_new: bool = False
) -> list[object]:
    """Returns (rates, valid_from, version) of the resulting prices."""
    after = continued(before, replace(wanted, valid_from=valid_from), now=NOW, is_new=is_new)
    return [(each.rates, each.valid_from, each.version) for each in after]


def entry(price: TargetPrice, valid_from: int, version: int) -> object:
    return (price.rates, valid_from, version)


def test_the_first_price_of_a_new_target_holds_since_ever() -> None:
    assert then((), C, is_new=True) == [entry(C, 0, 1)]
    assert then((), A, valid_from=NOW - 9, is_new=True) == [entry(A, NOW - 9, 1)]


def test_a_target_that_was_free_so_far_costs_from_now_on() -> None:
    assert then((), A) == [entry(A, NOW, 1)]


def test_what_was_and_stays_free_has_no_history() -> None:
    assert then((), FREE) == then((), FREE, valid_from=NOW + 5, is_new=True) == []


def test_another_price_holds_from_now_on() -> None:
    assert then(history((A, 0)), B) == [entry(A, 0, 1), entry(B, NOW, 2)]
    assert then(history((A, 0)), FREE) == [entry(A, 0, 1), entry(FREE, NOW, 2)]
    assert then(history((A, 0)), replace(A, cached_input=0))[-1] == entry(replace(A, cached_input=0), NOW, 2)


def test_the_price_in_force_changes_nothing() -> None:
    before = history((A, 0), (B, NOW - 5))
    for wanted in (B, replace(B, valid_from=NOW - 5)):
        assert continued(before, wanted, now=NOW, is_new=False) is before


def test_a_price_to_come_waits_and_may_be_replaced() -> None:
    before = continued(history((A, 0)), replace(B, valid_from=NOW + 5), now=NOW, is_new=False)
    assert [each.rates for each in before] == [A.rates, B.rates]
    assert continued(before, replace(B, valid_from=NOW + 5), now=NOW, is_new=False) is before
    assert then(before, C, valid_from=NOW + 5) == [entry(A, 0, 1), entry(C, NOW + 5, 3)]
    assert then(before, C, valid_from=NOW + 4) == [entry(A, 0, 1), entry(C, NOW + 4, 3), entry(B, NOW + 5, 2)]
    assert continued(before, A, now=NOW, is_new=False) is before


def test_a_change_now_leaves_what_is_to_come() -> None:
    before = history((A, 0), (B, NOW + 5))
    assert then(before, C) == [entry(A, 0, 1), entry(C, NOW, 3), entry(B, NOW + 5, 2)]


def test_two_changes_in_one_second_leave_the_later() -> None:
    after = continued(history((A, 0), (B, NOW)), C, now=NOW, is_new=False)
    assert price_in_force(after, NOW) == replace(C, valid_from=NOW, version=3)
    assert len(after) == 3


@pytest.mark.parametrize("valid_from", [1, NOW - 5, NOW])
def test_a_beginning_in_the_past_is_refused(valid_from: int) -> None:
    with pytest.raises(PastPriceError, match="has passed"):
        then(history((A, 0), (B, NOW - 5)), C, valid_from=valid_from)


def test_an_old_document_brings_its_price_back_from_now_on() -> None:
    before = history((A, 0), (B, NOW - 50), (C, NOW - 5))
    assert then(before, B, valid_from=NOW - 50)[-1] == entry(B, NOW, 4)


_PRICES = st.builds(TargetPrice, input=st.integers(0, 2), cached_input=st.sampled_from([None, 0]))
_WANTED = st.tuples(_PRICES, st.integers(-3, 3), st.integers(0, 2))


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(_WANTED, max_size=12))
def test_no_sequence_of_changes_rewrites_the_past(changes: list[tuple[TargetPrice, int, int]]) -> None:
    """Each change has a price, the seconds until it begins (0: none given), and the seconds until
    the next change.
    """
    now, versions = NOW, set[int]()
    prices: tuple[TargetPrice, ...] = ()
    charged: dict[int, TargetPrice | None] = {}
    for index, (price, ahead, pause) in enumerate(changes):
        wanted = replace(price, valid_from=now + ahead if ahead else 0)
        try:
            after = continued(prices, wanted, now=now, is_new=index == 0)
        except PastPriceError:
            assert ahead < 0
            continue
        assert continued(after, wanted, now=now, is_new=False) == after
        assert not versions.intersection(each.version for each in set(after).difference(prices))
        versions.update(each.version for each in after)
        assert list(after) == sorted(after, key=lambda each: (each.valid_from, each.version))
        prices = after
        if prices:
            for moment, was in charged.items():
                assert price_in_force(prices, moment) == was
            charged |= {moment: price_in_force(prices, moment) for moment in range(now - 4, now)}
        now += pause
