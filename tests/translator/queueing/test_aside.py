"""Entries that are set aside keep their places and delay no others."""

from __future__ import annotations

from hypothesis import given, strategies as st

from tests.translator.queueing.simulation import Waiter
from tests.translator.queueing.test_fair import drained, flows
from translator.queueing import FairQueue, Flow


@given(st.lists(flows, min_size=1, max_size=30), st.sets(st.integers(0, 29)), st.sets(st.integers(0, 29)))
def test_what_is_set_aside_and_brought_back_was_never_away(
    joined: list[Flow], aside: set[int], gone: set[int]
) -> None:
    queue, other = FairQueue[Waiter](), FairQueue[Waiter]()
    waiting = [Waiter(flow) for flow in joined]
    for each in waiting:
        queue.push(each)
        other.push(each)
    for index in sorted(aside & set(range(len(waiting)))):
        queue.set_aside(waiting[index])
    for index in sorted(gone & set(range(len(waiting)))):
        queue.remove(waiting[index])
        other.remove(waiting[index])
    assert len(queue) == len(other)
    assert {id(each) for each, _ in queue.ranked()} == {id(each) for each, _ in other.ranked()}
    for flow in set(joined):
        queue.bring_back(flow.organisation, flow.key, lambda each: True)
    assert list(map(id, drained(queue))) == list(map(id, drained(other)))


@given(st.lists(flows, min_size=1, max_size=30), st.sets(st.integers(0, 29)))
def test_others_are_served_meanwhile(joined: list[Flow], aside: set[int]) -> None:
    queue = FairQueue[Waiter]()
    waiting = [Waiter(flow) for flow in joined]
    for index, each in enumerate(waiting):
        queue.push(each)
        if index in aside:
            queue.set_aside(each)
    served = drained(queue)
    assert {id(each) for each in served} == {id(each) for index, each in enumerate(waiting) if index not in aside}
    for flow in set(joined):
        queue.unpark(flow.organisation, flow.key)
    assert queue.first() is None
    late = Waiter(joined[0])
    queue.push(late)
    assert queue.first() is late
    assert queue.greediest(Flow("else", 100, "else", 1)) in {late, *waiting}
