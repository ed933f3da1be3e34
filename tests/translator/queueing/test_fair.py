"""The order of a weighted fair queue."""

from __future__ import annotations

from hypothesis import given, strategies as st

from tests.translator.queueing.simulation import Waiter
from translator.queueing import FairQueue, Flow

WEIGHTS = {"a": 1, "b": 1, "c": 2}
KEYS = {"high": 16, "normal": 4, "low": 1}
flows = st.builds(
    lambda organisation, key: Flow(organisation, WEIGHTS[organisation], f"{organisation}-{key}", KEYS[key]),
    st.sampled_from(sorted(WEIGHTS)),
    st.sampled_from(sorted(KEYS)),
)
#: A flow joins the queue; None serves the next entry; a number makes a waiting one leave.
steps = st.lists(st.one_of(flows, st.none(), st.integers(0, 1_000)), max_size=80)


def drained(queue: FairQueue[Waiter]) -> list[Waiter]:
    served = []
    while (first := queue.first()) is not None:
        queue.serve(first)
        served.append(first)
    return served


def run(taken: list[Flow | int | None]) -> tuple[FairQueue[Waiter], list[Waiter]]:
    """Returns the queue after these steps, and its waiting entries."""
    queue: FairQueue[Waiter] = FairQueue()
    waiting: list[Waiter] = []
    for step in taken:
        if isinstance(step, Flow):
            waiting.append(Waiter(step))
            queue.push(waiting[-1])
        elif waiting:
            gone = waiting[step % len(waiting)] if step is not None else queue.first()
            assert gone is not None
            (queue.remove if step is not None else queue.serve)(gone)
            waiting.remove(gone)
    return queue, waiting


@given(steps)
def test_everybody_is_served_once_and_first_in_first_out_within_a_key(taken: list[Flow | int | None]) -> None:
    queue, waiting = run(taken)
    assert len(queue) == len(waiting)
    served = drained(queue)
    assert sorted(map(id, served)) == sorted(map(id, waiting))
    for key in {each.flow.key for each in waiting}:
        assert [each for each in served if each.flow.key == key] == [
            each for each in waiting if each.flow.key == key
        ]


@given(steps, flows)
def test_a_request_that_joins_is_served_where_it_was_sent(taken: list[Flow | int | None], flow: Flow) -> None:
    queue, _ = run(taken)
    reported = queue.ahead(flow)
    joined = Waiter(flow)
    queue.push(joined)
    # Contenders with equal virtual time may be served in any order.
    ties = len(WEIGHTS) + len(KEYS)
    assert abs(drained(queue).index(joined) - reported) <= ties


@given(steps)
def test_a_backlog_is_served_by_weight(taken: list[Flow | int | None]) -> None:
    queue, _ = run(taken)
    for organisation, weight in WEIGHTS.items():
        for _ in range(40):
            queue.push(Waiter(Flow(organisation, weight, f"{organisation}-busy", 16)))
    counts = dict.fromkeys(WEIGHTS, 0)
    for _ in range(40):
        first = queue.first()
        assert first is not None
        queue.serve(first)
        counts[first.flow.organisation] += 1
    assert abs(counts["a"] - 10) <= 2
    assert abs(counts["c"] - 20) <= 3


def test_who_is_parked_holds_up_nobody() -> None:
    queue: FairQueue[Waiter] = FairQueue()
    mine, other, stranger = (
        Waiter(Flow(organisation, 1, key, 4)) for organisation, key in (("a", "k"), ("a", "l"), ("b", "m"))
    )
    for each in (mine, other, stranger):
        queue.push(each)
    queue.park("a", "k")
    assert drained(queue) == [other, stranger]
    assert len(queue) == 1
    another = Waiter(Flow("a", 1, "l", 4))
    queue.push(another)
    assert queue.first() is another
    queue.park("a")
    assert queue.first() is None
    queue.unpark("a")
    queue.remove(another)
    queue.unpark("a", "k")
    assert queue.first() is mine
    queue.unpark("gone", "gone")


def test_leaving_and_coming_back_gains_nothing() -> None:
    queue: FairQueue[Waiter] = FairQueue()
    for _ in range(100):
        queue.push(Waiter(Flow("steady", 1, "s", 4)))
    served = 0
    for _ in range(50):
        hasty = Waiter(Flow("hasty", 1, "h", 4))
        queue.push(hasty)
        first = queue.first()
        assert first is not None
        queue.serve(first)
        served += first.flow.organisation == "hasty"
        if first.flow.organisation != "hasty":
            queue.remove(hasty)
    assert 20 <= served <= 26
