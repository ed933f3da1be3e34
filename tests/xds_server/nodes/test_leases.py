"""Leases against the plain definition of a deadline."""

from __future__ import annotations

from hypothesis import given, strategies as st

from xds_server.nodes.leases import Leases

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("grant"), st.sampled_from("abc"), st.integers(1, 9)),
        st.tuples(st.just("drop"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("extend"), st.just(""), st.integers(1, 9)),
        st.tuples(st.just("wait"), st.just(""), st.integers(0, 9)),
    )
)


@given(STEPS)
def test_each_lease_ends_once_at_its_deadline(steps: list[tuple[str, str, int]]) -> None:
    leases, model, now = Leases(), dict[str, float](), 0.0
    for what, name, amount in steps:
        if what == "grant":
            deadline = max(now + amount, model.get(name, 0.0))  # renewals never shorten one
            leases.grant(name, deadline)
            model[name] = deadline
        elif what == "drop":
            leases.drop(name)
            model.pop(name, None)
        elif what == "extend":
            leases.extend_all(now + amount)
            model = {name: max(until, now + amount) for name, until in model.items()}
        else:
            now += amount
            due = {name for name, until in model.items() if until <= now}
            ended = leases.expired(now)
            assert sorted(ended) == sorted(due)
            model = {name: until for name, until in model.items() if name not in due}
        assert len(leases) == len(model)
        assert all(name in leases for name in model)


def test_a_renewed_lease_keeps_one_place_in_the_heap() -> None:
    leases = Leases()
    for number in range(1_000):
        leases.grant("a", 6.0 + number)
    assert len(leases._heap) == 1
    assert leases.expired(6.0) == []
    assert len(leases._heap) == 1
    assert leases.expired(1_005.0) == ["a"]
    assert leases._heap == []
