from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from node_sidecar.preferences.idle import MEASURE_AT_MOST, UNREADABLE_AFTER, IdleRule, IdleState, IdleWatch
from node_sidecar.use.owner import OwnerUse

RULE = IdleRule(cpu=20, gpu=10, after=60, recheck=300)
QUIET = OwnerUse(cpu=2, gpu=0)
LOUD = OwnerUse(cpu=90, gpu=0)
#: Only the GPU's total can be read.
TOTAL = OwnerUse(cpu=2, gpu=0, separate=False)
SERVING = replace(TOTAL, gpu=100, in_flight=3)


class Machine:
    """A watch with a sample every two seconds."""

    def __init__(self, rule: IdleRule = RULE) -> None:
        self.now = 0.0
        self.watch = IdleWatch(rule, 0.0)

    def sample(self, use: OwnerUse, seconds: float = 2.0) -> IdleState:
        """Samples `use` for `seconds`. Returns the last state."""
        for _ in range(max(1, round(seconds / 2))):
            self.now += 2.0
            self.watch.sample(self.now, use)
        return self.watch.state

    def until(self, state: IdleState, use: OwnerUse, within: float) -> float:
        """Returns the seconds until `state`, which must come within `within`."""
        began = self.now
        while self.sample(use) is not state:
            assert self.now - began <= within
        return self.now - began


def idle(rule: IdleRule = RULE, use: OwnerUse = QUIET) -> Machine:
    machine = Machine(rule)
    machine.until(IdleState.IDLE, use, rule.after + 10)
    return machine


def test_it_is_idle_after_a_quiet_while() -> None:
    assert RULE.after <= idle().now <= RULE.after + 5


def test_a_moment_of_use_does_not_make_it_busy_and_a_while_does() -> None:
    machine = idle()
    assert machine.sample(LOUD) is IdleState.IDLE
    assert machine.sample(QUIET, 20) is IdleState.IDLE
    assert machine.until(IdleState.BUSY, LOUD, 6) <= 6


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_an_owner_who_works_in_bursts_uses_the_machine(share: float) -> None:
    machine = idle()
    for _ in range(6):
        for step in range(5):
            machine.sample(LOUD if step < share * 5 else QUIET)
            if machine.watch.state is IdleState.BUSY:
                return
    pytest.fail("never noticed")


def test_what_stays_below_the_limit_for_ever_is_no_use() -> None:
    machine = idle()
    assert machine.sample(OwnerUse(cpu=19, gpu=9), 3_600) is IdleState.IDLE


def test_between_the_thresholds_nothing_changes() -> None:
    between = OwnerUse(cpu=18, gpu=0)  # below 20, above three quarters of it
    assert idle().sample(between, 400) is IdleState.IDLE
    assert Machine().sample(between, 400) is IdleState.BUSY


def test_the_gpu_counts_too() -> None:
    assert idle().until(IdleState.BUSY, OwnerUse(cpu=0, gpu=50), 10)


def test_memory_counts_too() -> None:
    rule = replace(RULE, gpu=None, gpu_memory_free=8 << 30)
    enough, short = (OwnerUse(cpu=0, gpu_memory_free=free << 30) for free in (8, 7))
    machine = idle(rule, enough)
    assert machine.sample(short) is IdleState.IDLE
    assert machine.until(IdleState.BUSY, short, 10)
    machine.until(IdleState.IDLE, enough, rule.after + 30)


@pytest.mark.parametrize("in_flight", [0, 3])
def test_with_separate_use_it_is_noticed_also_while_it_serves(in_flight: int) -> None:
    """The node never asks for a measurement then."""
    machine = idle()
    serving = replace(QUIET, in_flight=in_flight)
    for _ in range(100):
        assert machine.sample(serving, 60) is IdleState.IDLE
        assert not machine.watch.wants_measurement
    assert machine.until(IdleState.BUSY, replace(serving, gpu=60), 10)
    machine.until(IdleState.IDLE, serving, RULE.after + 30)


@pytest.mark.parametrize(
    ("rule", "use"),
    [
        (RULE, OwnerUse(cpu=1, gpu=None)),
        (RULE, OwnerUse(cpu=None, gpu=1)),
        (replace(RULE, cpu=None), OwnerUse(cpu=1, gpu=None)),
        (replace(RULE, gpu_memory_free=1), OwnerUse(cpu=1, gpu=1)),
    ],
)
def test_a_rule_that_cannot_be_kept_is_not_off(rule: IdleRule, use: OwnerUse) -> None:
    assert Machine(rule).until(IdleState.UNREADABLE, use, UNREADABLE_AFTER + 2)
    machine = idle(rule, OwnerUse(cpu=1, gpu=1, gpu_memory_free=1))
    assert machine.sample(use) is IdleState.IDLE  # a driver that fails once
    assert machine.until(IdleState.UNREADABLE, use, UNREADABLE_AFTER + 2)
    machine.sample(OwnerUse(cpu=1, gpu=1, gpu_memory_free=1))
    assert machine.watch.state is IdleState.BUSY
    machine.until(IdleState.IDLE, OwnerUse(cpu=1, gpu=1, gpu_memory_free=1), RULE.after + 5)


class TestTotalsOnly:
    def test_what_the_gateway_uses_is_not_the_owners_use(self) -> None:
        machine = idle(use=TOTAL)
        assert machine.sample(SERVING, 100) is IdleState.IDLE
        # The first sample after them is still an average over their end.
        assert machine.sample(replace(TOTAL, gpu=100)) is IdleState.IDLE

    def test_it_asks_for_a_measurement_and_serves_until_it_is_granted(self) -> None:
        machine = idle(use=TOTAL)
        assert machine.sample(SERVING, RULE.recheck - 2) is IdleState.IDLE
        assert not machine.watch.wants_measurement
        assert machine.sample(SERVING, 4) is IdleState.IDLE
        assert machine.watch.wants_measurement
        assert machine.sample(SERVING, 10 * RULE.recheck) is IdleState.IDLE
        machine.watch.measure(machine.now)
        assert machine.watch.state is IdleState.MEASURING

    def test_a_pause_of_the_traffic_is_a_measurement(self) -> None:
        machine = idle(use=TOTAL)
        machine.sample(SERVING, RULE.recheck + 2)
        assert machine.watch.wants_measurement
        machine.sample(TOTAL, 4)
        assert not machine.watch.wants_measurement

    @pytest.mark.parametrize(
        ("gpu", "state"), [(0, IdleState.IDLE), (9, IdleState.IDLE), (11, IdleState.BUSY), (100, IdleState.BUSY)]
    )
    def test_a_measurement_finds_out(self, gpu: float, state: IdleState) -> None:
        machine = self._measuring()
        assert machine.sample(SERVING, 6) is IdleState.MEASURING
        machine.sample(replace(TOTAL, gpu=gpu), 6)
        assert machine.watch.state is state

    def test_a_measurement_under_requests_that_run_on_ends(self) -> None:
        machine = self._measuring()
        assert machine.until(IdleState.IDLE, SERVING, MEASURE_AT_MOST + 2)
        assert not machine.watch.wants_measurement
        machine.sample(SERVING, RULE.recheck + 2)
        assert machine.watch.wants_measurement

    def test_one_that_was_not_asked_for_does_nothing(self) -> None:
        for machine in (idle(use=TOTAL), idle(), Machine()):
            before = machine.watch.state
            machine.watch.measure(machine.now)
            assert machine.watch.state is before

    def _measuring(self) -> Machine:
        machine = idle(use=TOTAL)
        machine.sample(SERVING, RULE.recheck + 2)
        machine.watch.measure(machine.now)
        return machine


percents = st.floats(0, 100) | st.none()
uses = st.builds(OwnerUse, percents, percents, st.none(), st.booleans(), st.integers(0, 2))


@given(st.lists(uses, max_size=200), st.lists(st.booleans(), max_size=200))
def test_it_becomes_idle_only_after_a_while_and_measures_only_for_a_while(
    samples: list[OwnerUse], granted: list[bool]
) -> None:
    machine, last, changed = Machine(), IdleState.BUSY, 0.0
    for number, use in enumerate(samples):
        if number < len(granted) and granted[number]:
            machine.watch.measure(machine.now)
            if machine.watch.state is not last:
                last, changed = machine.watch.state, machine.now
        state = machine.sample(use)
        if state is not last:
            if state is IdleState.IDLE and last is not IdleState.MEASURING:
                assert machine.now - changed >= RULE.after
            if last is IdleState.MEASURING:
                assert machine.now - changed <= MEASURE_AT_MOST + 2
            last, changed = state, machine.now
