"""Requests that wait while all machines of their route are busy: which places they take, and when they proceed."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from tests.translator.test_waiting import LONGEST_MS, Translator, concurrency
from translator.policy.store import type_url
from translator.reporting import LimitReporter

#: The audiences: the key that `Translator.ask` uses by default, and another organisation.
KEY, ORGANISATION, OTHER = "key_ci", "org_acme", "org_other"


def route(slots: Mapping[str, int], route_id: str = "rt_gpt", model: str = "gpt-4.1") -> policy.Route:
    """Returns a route with this many slots for each audience."""
    made = policies.route(route_id, model)
    made.queue_longest_ms = LONGEST_MS
    made.slots.extend(
        policy.PoolSlots(model="llama3", audience=audience, slots=number) for audience, number in slots.items()
    )
    return made


def translator(*routes: policy.Route) -> Translator:
    return Translator(
        policies.store(
            policies.organisation(),
            policies.organisation(OTHER),
            policies.key(),
            policies.key("key_other", value=policies.OTHER_VALUE, org=OTHER),
            *routes,
        )
    )


def changed(one: Translator, made: policy.Route) -> None:
    one.store.apply(policies.response(type_url(policy.Route), made))


async def test_it_waits_until_a_machine_is_free() -> None:
    one = translator(route({"": 2}))
    one.ask(1, 2, 3)
    assert await one.settled() == {1: 200, 2: 200, 3: 102}
    one.end(2)
    assert await one.settled() == {1: 200, 2: 200, 3: 200}
    assert any(line.startswith("x-trunkline-queued-ms: ") for line in one.answers[3][1])
    assert one.ends() == {"served": 1}


async def test_without_machines_nobody_waits() -> None:
    """Without machines, Envoy answers that there are none."""
    one = translator(route({}))
    one.ask(1, 2, 3)
    assert await one.settled() == {1: 200, 2: 200, 3: 200}


async def test_a_machine_that_comes_lets_one_go_on_and_one_that_leaves_holds_others_up() -> None:
    one = translator(route({"": 1}))
    one.ask(1, 2, 3)
    assert await one.settled() == {1: 200, 2: 102, 3: 102}
    changed(one, route({"": 2}))
    assert await one.settled() == {1: 200, 2: 200, 3: 102}
    changed(one, route({"": 1}))
    one.end(1)
    assert (await one.settled())[3] == 102
    one.end(2)
    assert (await one.settled())[3] == 200


async def test_own_machines_are_taken_first_and_are_nobody_elses() -> None:
    """The other organisation waits for everybody's machines; behind it, one with machines of its own does not
    wait.
    """
    one = translator(route({"": 1, ORGANISATION: 1, KEY: 1}))
    one.ask(1, 2, 3, 4)
    assert await one.settled() == {1: 200, 2: 200, 3: 200, 4: 102}
    one.ask(5, value=policies.OTHER_VALUE)
    one.end(1)  # the key's own
    assert await one.settled() == {1: 200, 2: 200, 3: 200, 4: 200, 5: 102}
    one.ask(6)
    one.end(2)  # belongs to its organisation
    assert (await one.settled())[6] == 200
    assert one.answers[5][0] == 102
    one.end(3)  # everybody's
    assert (await one.settled())[5] == 200


async def test_routes_that_share_machines_share_their_places() -> None:
    one = translator(route({"": 1}), route({"": 1}, "rt_b", "alias"))
    one.ask(1)
    one.ask(2, model="alias")
    assert await one.settled() == {1: 200, 2: 102}
    one.end(1)
    assert await one.settled() == {1: 200, 2: 200}


async def test_a_limit_on_concurrency_counts_beside_them() -> None:
    made = route({"": 5})
    made.limits.append(concurrency(1))
    one = translator(made)
    one.ask(1, 2)
    assert await one.settled() == {1: 200, 2: 102}
    one.end(1)
    assert await one.settled() == {1: 200, 2: 200}


async def test_places_are_kept_over_a_restart() -> None:
    """The places of a request are in its reservation, which is journalled."""
    one = translator(route({"": 1}))
    one.ask(1)
    await one.settled()
    (reservation,) = one.limiter.reservations
    assert reservation.limits == ("concurrency - pool * llama3",)
    again = translator(route({"": 1}))
    again.limiter.replay(reservation)
    again.ask(2)
    assert await again.settled() == {2: 102}
    again.end(1)
    assert await again.settled() == {2: 200}


async def test_places_are_no_limit_that_is_reported() -> None:
    """No operator has set these places, and the control plane does not know them as limits."""
    one = translator(route({"": 1}))
    one.ask(1)
    await one.settled()
    assert [name for name, total in one.limiter.totals(0.0) if total] == ["concurrency - pool * llama3"]
    reporter = LimitReporter(one.limiter, "edge", "", structlog.get_logger())
    assert await reporter._changes() == {}


async def test_one_that_a_machine_turns_away_keeps_its_place() -> None:
    """Another program uses a slot. The next free one goes to the request that was turned away, not to the first
    that waits.
    """
    one = translator(route({"": 2}))
    one.ask(1, 2, 3, 4)
    assert await one.settled() == {1: 200, 2: 200, 3: 102, 4: 102}
    one.machine_busy(2, turned_away=True)
    one.machine_busy(2, turned_away=True)  # a notice that arrives twice
    one.end(1)
    assert await one.settled() == {1: 200, 2: 200, 3: 102, 4: 102}
    one.machine_busy(2, turned_away=False)
    assert await one.settled() == {1: 200, 2: 200, 3: 200, 4: 102}
    # The new one is turned away in its turn, and gives up.
    one.machine_busy(3, turned_away=True)
    one.end(2)
    assert (await one.settled())[4] == 102
    one.end(3)
    assert (await one.settled())[4] == 200


async def test_one_that_is_turned_away_holds_up_only_those_that_need_the_same_machines() -> None:
    one = translator(route({"": 1, ORGANISATION: 1}), route({"": 1}, "rt_b", "alias"))
    one.ask(1, 2)
    one.ask(3, model="alias")
    assert await one.settled() == {1: 200, 2: 200, 3: 102}
    one.machine_busy(2, turned_away=True)  # by everybody's machine
    one.end(1)
    one.ask(4)
    assert await one.settled() == {1: 200, 2: 200, 3: 102, 4: 200}
    one.end(2)
    assert (await one.settled())[3] == 200


async def test_a_settled_one_holds_nobody_up() -> None:
    """If the notice is lost, Envoy's log may report the end."""
    one = translator(route({"": 1}))
    one.ask(1, 2)
    await one.settled()
    (reservation,) = one.limiter.reservations
    one.machine_busy(1, turned_away=True)
    await one.settled()
    one.limiter.settle(reservation.id, 0, 0)
    assert await one.settled() == {1: 200, 2: 200}
    one.machine_busy(7, turned_away=True)  # unknown
    one.machine_busy(7, turned_away=False)
    one.end(2)
    one.ask(3)
    assert (await one.settled())[3] == 200
