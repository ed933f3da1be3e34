"""`envoy/module/pool.c` and `balance.c`: which of a pool's machines serves a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from tests.envoy.native import Driver

UNHEALTHY, DEGRADED, HEALTHY = range(3)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("pool") as running:
        yield running


@dataclass(frozen=True)
class Host:
    address: str
    weight: int = 160
    active: int = 0
    health: int = HEALTHY
    tried: bool = False

    @property
    def line(self) -> str:
        return f"{self.address} {self.weight} {self.active} {self.health} {int(self.tried)}\n"


def hosts(count: int, weight: int = 160) -> list[Host]:
    return [Host(f"envoy://tunnel_egress/nd_{number}", weight) for number in range(count)]


def chosen(driver: Driver, pool: Sequence[Host], affinities: Sequence[int | str]) -> list[str]:
    """Returns the host of each request; none of the requests keeps running."""
    lines = "".join(host.line for host in pool)
    command: list[str | int] = []
    for affinity in affinities:
        command += [lines, 0, str(affinity)]
    return [text.decode() for text in driver.ask(*command)]


NONE = [""] * 1000
CONVERSATIONS = list(range(1, 1001))


def test_a_conversation_stays_and_no_other_moves_when_a_machine_goes_and_returns(driver: Driver) -> None:
    pool = hosts(4)
    before = chosen(driver, pool, CONVERSATIONS)
    assert chosen(driver, pool[::-1], CONVERSATIONS) == before  # in whatever order they stand
    assert all(200 < count < 300 for count in Counter(before).values())
    for away in (
        pool[1:],
        [replace(pool[0], health=UNHEALTHY), *pool[1:]],
        [replace(pool[0], tried=True), *pool[1:]],
    ):
        without = chosen(driver, away, CONVERSATIONS)
        assert pool[0].address not in without
        assert all(now == then for now, then in zip(without, before, strict=True) if then != pool[0].address)
    assert chosen(driver, pool, CONVERSATIONS) == before


def test_a_saturated_machine_is_passed_over(driver: Driver) -> None:
    pool = hosts(2)
    mine = next(number for number in CONVERSATIONS if chosen(driver, pool, [number]) == [pool[0].address])
    for active, others, expected in ((7, 0, 0), (8, 0, 1), (20, 20, 0), (20, 8, 0), (20, 6, 1), (0, 40, 0)):
        busy = [replace(pool[0], active=active), replace(pool[1], active=others)]
        assert chosen(driver, busy, [mine]) == [pool[expected].address], (active, others)


def test_a_machine_that_has_been_tried_is_the_last_resort(driver: Driver) -> None:
    pool = [replace(host, tried=True) for host in hosts(2)]
    assert set(chosen(driver, pool, NONE)) == {host.address for host in pool}


def test_nothing_is_chosen_where_nothing_is_healthy(driver: Driver) -> None:
    ill = [replace(host, health=health) for host, health in zip(hosts(2), (UNHEALTHY, DEGRADED), strict=True)]
    assert chosen(driver, ill, ["", 1]) == ["", ""]
    assert chosen(driver, [], ["", 1]) == ["", ""]


def test_weights_share_conversations_in_steps_of_four(driver: Driver) -> None:
    pool = [replace(hosts(2)[0], weight=40), hosts(2)[1]]
    counted = Counter(chosen(driver, pool, CONVERSATIONS))
    assert 150 < counted[pool[0].address] < 250
    # A slightly smaller free capacity moves nothing.
    assert chosen(driver, [pool[0], replace(pool[1], weight=70)], CONVERSATIONS) == chosen(
        driver, pool, CONVERSATIONS
    )


def test_without_an_affinity_the_less_busy_machine_serves(driver: Driver) -> None:
    pool = hosts(3)
    counted = Counter(chosen(driver, pool, NONE))
    # Seven standard deviations, because the draws are as random as the process's address space.
    assert all(220 < counted[host.address] < 450 for host in pool)
    counted = Counter(chosen(driver, [replace(pool[0], active=5), *pool[1:]], NONE))
    assert counted[pool[0].address] == 0  # never the less busy one of two
    assert Counter(chosen(driver, pool, ["no number"] * 300)).keys() == {host.address for host in pool}


def test_a_large_pool_is_as_sticky(driver: Driver) -> None:
    pool = hosts(400)
    before = chosen(driver, pool, CONVERSATIONS[:200])
    assert len(set(before)) > 100
    without = chosen(driver, pool[1:], CONVERSATIONS[:200])
    # One more machine becomes visible to those that saw the lost one, and a few prefer it.
    moved = sum(now != then != pool[0].address for now, then in zip(without, before, strict=True))
    assert moved < 10
    assert all(chosen(driver, pool, NONE[:50]))


def test_hosts_are_counted_among_the_healthy(driver: Driver) -> None:
    pool = hosts(3)
    ill = [replace(pool[0], health=UNHEALTHY), pool[1], replace(pool[2], health=DEGRADED)]
    assert set(chosen(driver, ill, [*NONE[:20], *CONVERSATIONS[:20]])) == {pool[1].address}


def test_a_request_that_is_bound_to_a_machine_goes_nowhere_else(driver: Driver) -> None:
    pool = [replace(host, active=99) for host in hosts(3)]
    assert chosen(driver, pool, ["=nd_1", "=nd_2", "=nd_9", "=d_1"]) == [pool[1].address, pool[2].address, "", ""]
    assert chosen(driver, [pool[0], replace(pool[1], health=UNHEALTHY)], ["=nd_1"]) == [""]
    direct = Host("10.0.0.1:8000")
    assert chosen(driver, [direct], ["=nd_1"]) == [direct.address]
    assert chosen(driver, [direct, pool[0]], ["=nd_1"]) == chosen(driver, [pool[0]], ["=nd_1"]) == [""]


def test_a_machine_that_comes_back_has_a_growing_share(driver: Driver) -> None:
    pool = hosts(2)
    whole = Counter(chosen(driver, pool, CONVERSATIONS[:400]))
    away = [replace(pool[0], health=UNHEALTHY), pool[1]]
    command: list[str | int] = ["".join(host.line for host in away), 0, ""]
    for moment in range(400):
        # Envoy announces the change, and may renumber the hosts.
        again = pool if moment else pool[::-1]
        command += ["".join(host.line for host in again), int(moment < 2), str(CONVERSATIONS[moment])]
    served = Counter(text.decode() for text in driver.ask(*command)[1:])
    # The share grows for seconds, and this takes milliseconds.
    assert 0 < served[pool[0].address] < whole[pool[0].address]
    assert served.total() == 400
