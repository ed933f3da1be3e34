"""Measurements of targets and of their credentials."""

from __future__ import annotations

import pytest

from xds_server.routing.measured import MAX_CREDENTIALS, MAX_SERVED, Measured, Measurements
from xds_server.routing.slots import RouteCredential, RouteTarget, Slot
from xds_server.routing.window import KEPT_SLOTS

A = RouteTarget("rt_a", "a/m")
NOW = 1_000_000


def serving(number: int, first_us: int = 50) -> Slot:
    return Slot(served=number, streams=number, served_from=NOW, first_us={first_us: number})


def failing(number: int) -> Slot:
    return Slot(failed=number, failed_from={NOW: number})


def test_a_credential_that_fails_is_seen_and_costs_its_target() -> None:
    healthy, half = Measurements(), Measurements()
    for index in (0, 1):
        healthy.add(NOW, {RouteCredential(A, index): serving(10)})
    half.add(NOW, {RouteCredential(A, 0): serving(10), RouteCredential(A, 1): failing(10)})
    one, other = (half.credentials(A, NOW)[index] for index in (0, 1))
    assert (one.error_rate, one.failures_in_a_row, one.is_down) == (0.0, 0, False)
    assert (other.error_rate > 0.5, other.failures_in_a_row, other.is_down) == (True, 10, True)
    target = half.of(A, NOW)
    assert healthy.of(A, NOW).error_rate < target.error_rate < other.error_rate
    assert not target.is_down


def test_a_target_is_down_when_all_its_credentials_are() -> None:
    measurements = Measurements()
    measurements.add(NOW, {RouteCredential(A, 0): failing(2), RouteCredential(A, 1): failing(2)})
    assert measurements.of(A, NOW).is_down


def test_the_first_credential_keeps_its_past_when_the_second_is_first_used() -> None:
    measurements = Measurements()
    measurements.add(NOW - 1, {RouteCredential(A): serving(10)})
    measurements.add(NOW, {RouteCredential(A, 1): serving(3)})
    assert {index: each.attempts for index, each in measurements.credentials(A, NOW).items()} == {0: 10, 1: 3}
    assert measurements.of(A, NOW).attempts == 13


def test_slots_of_credentials_add_up_in_any_order() -> None:
    given = [(NOW - number % 4, {RouteCredential(A, number % 3): serving(1, 40 + number)}) for number in range(12)]
    one, other = Measurements(), Measurements()
    for slot, each in given:
        one.add(slot, each)
    for slot, each in reversed(given):
        other.add(slot, each)
    assert one.of(A, NOW) == other.of(A, NOW)
    assert one.credentials(A, NOW) == other.credentials(A, NOW)


def test_what_is_old_is_forgotten() -> None:
    measurements = Measurements()
    measurements.add(NOW, {RouteCredential(A, 0): serving(1), RouteCredential(A, 1): serving(1)})
    later = NOW + KEPT_SLOTS
    measurements.add(later, {RouteCredential(A, 0): serving(1)})
    measurements.forget(later + 1)
    assert {index: each.attempts for index, each in measurements.credentials(A, later).items()} == {0: 1}
    measurements.forget(later + KEPT_SLOTS + 1)
    assert measurements.credentials(A, later) == {}
    assert measurements.of(A, later) == Measured()


@pytest.mark.slow
def test_targets_and_credentials_are_bounded() -> None:
    measurements = Measurements()
    for number in range(MAX_SERVED + 1):
        measurements.add(NOW, {RouteCredential(RouteTarget("rt", str(number))): serving(1)})
    assert measurements.of(RouteTarget("rt", "0"), NOW).attempts == 0
    assert measurements.of(RouteTarget("rt", str(MAX_SERVED)), NOW).attempts == 1
    measurements.add(NOW, {RouteCredential(A, index): serving(1) for index in range(MAX_CREDENTIALS + 10)})
    assert len(measurements.credentials(A, NOW)) == MAX_CREDENTIALS
    assert measurements.of(A, NOW).attempts == MAX_CREDENTIALS + 10
