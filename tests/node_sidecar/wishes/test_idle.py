from __future__ import annotations

from hypothesis import given, strategies as st

from node_sidecar.wishes.idle import BUSY_AFTER, IdleRule, IdleWatch, State, Use

RULE = IdleRule(cpu=20, gpu=10, after=60, recheck=300)
QUIET, LOUD = Use(2, 0, 0), Use(90, 0, 0)


def _idle() -> tuple[IdleWatch, float]:
    watch = IdleWatch(RULE, 0.0)
    now = 0.0
    while watch.state is not State.IDLE:
        now += 2.0
        watch.sample(now, QUIET)
    return watch, now


def test_it_is_idle_after_a_quiet_while() -> None:
    _, now = _idle()
    assert RULE.after <= now <= RULE.after + 5


def test_a_moment_of_use_does_not_make_it_busy_and_a_while_does() -> None:
    watch, now = _idle()
    assert watch.sample(now + 2, LOUD) is State.IDLE
    assert watch.sample(now + 4, QUIET) is State.IDLE
    for step in range(1, 10):
        watch.sample(now + 4 + 2 * step, LOUD)
    assert watch.state is State.BUSY


def test_between_the_thresholds_nothing_changes() -> None:
    between = Use(18, 0, 0)  # below 20, above three quarters of it
    watch, now = _idle()
    for step in range(1, 200):
        assert watch.sample(now + 2 * step, between) is State.IDLE
    busy = IdleWatch(RULE, 0.0)
    for step in range(1, 200):
        assert busy.sample(2.0 * step, between) is State.BUSY


def test_the_gpu_counts_too() -> None:
    watch, now = _idle()
    for step in range(1, 10):
        watch.sample(now + 2 * step, Use(0, 50, 0))
    assert watch.state is State.BUSY


def test_what_the_gateway_uses_is_not_the_owners_use() -> None:
    watch, now = _idle()
    for step in range(1, 50):
        assert watch.sample(now + 2 * step, Use(100, 100, 3)) is State.IDLE
    # The first sample after them is still an average over their end.
    assert watch.sample(now + 102, LOUD) is State.IDLE


def test_a_node_that_always_serves_stops_to_measure() -> None:
    watch, now = _idle()
    step = 0
    while watch.state is State.IDLE:
        step += 1
        watch.sample(now + 2 * step, Use(100, 100, 3))
    assert watch.state is State.MEASURING
    assert RULE.recheck <= 2 * step <= RULE.recheck + 5
    for quiet in range(1, 6):
        watch.sample(now + 2 * (step + quiet), QUIET)
    assert watch.state is State.IDLE


def test_a_measurement_finds_its_owner_at_work() -> None:
    watch, now = _idle()
    for step in range(1, 160):
        watch.sample(now + 2 * step, Use(100, 100, 3))
    for step in range(160, 170):
        watch.sample(now + 2 * step, LOUD)
    assert watch.state is State.BUSY


@given(
    st.lists(
        st.builds(Use, st.floats(0, 100) | st.none(), st.floats(0, 100) | st.none(), st.integers(0, 2)),
        max_size=200,
    )
)
def test_it_never_flaps(samples: list[Use]) -> None:
    """Between two changes there is as long as a rule says, whatever is measured."""
    watch, last, changed = IdleWatch(RULE, 0.0), State.BUSY, 0.0
    for number, use in enumerate(samples, 1):
        now = 2.0 * number
        state = watch.sample(now, use)
        if state is not last:
            least = {State.IDLE: 0.0, State.BUSY: BUSY_AFTER, State.MEASURING: RULE.recheck}[state]
            if state is State.IDLE and last is State.BUSY:
                least = RULE.after
            assert now - changed >= least
            last, changed = state, now
