"""`envoy/module/plan.c` against the order that docs/failover.md states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, strategies as st

from tests.envoy.native import Driver
from tests.envoy.rendezvous_model import draw

LIVES, LAST_RESORT, GIVE_UP, GONE = range(4)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("plan") as running:
        yield running


@dataclass(frozen=True)
class Target:
    tier: int
    group: int
    weight: int
    tries: int
    machines: bool

    def line(self, name: int) -> str:
        return (
            f"{self.tier} {self.group} {self.weight} {self.tries} {'m' if self.machines else 't'} "
            f"{'-' if self.machines else 'key'} cluster {name}\n"
        )


@dataclass(frozen=True)
class Moment:
    """One attempt: what lives, what may be asked nevertheless, and whether the attempt is made."""

    random: int
    healthy: list[int]
    askable: list[bool]
    made: bool = True
    hash: int = 0  # 0: none
    only: str = ""


@dataclass
class Model:
    targets: list[Target]
    tries: Counter[int] = field(default_factory=Counter)
    attempts: int = 0
    first: int = 0
    current: int = 0

    def may_try(self, at: int, healthy: list[int], tried: int) -> bool:
        target = self.targets[at]
        only_one = target.machines and healthy[at] == 1 and len(self.targets) > 1
        return healthy[at] > 0 and tried < (1 if only_one else target.tries)

    def order(self) -> list[int]:
        numbers = list(range(len(self.targets)))
        group = [at for at in numbers if self.targets[at].group == self.targets[self.first].group]
        own = [at for at in group if at >= self.first] + [at for at in group if at < self.first]
        return own + [at for at in numbers if at not in group]

    def by_weight(self, moment: Moment, holding: list[bool]) -> int | None:
        for tier in sorted({target.tier for target in self.targets}):
            sharing: list[int] = []
            groups: set[int] = set()
            for at, target in enumerate(self.targets):
                if target.tier != tier or not holding[at] or (target.machines and target.group in groups):
                    continue
                groups.add(target.group)
                sharing.append(at)
            wheel = [at for at in sharing for _ in range(self.targets[at].weight)]
            if sharing and wheel and moment.hash:
                return min(sharing, key=lambda at: draw(moment.hash, f"cluster {at}", self.targets[at].weight))
            if sharing:
                return wheel[moment.random % len(wheel)] if wheel else sharing[0]
        return None

    def choose(self, moment: Moment) -> tuple[int, int, bool, bool, bool]:
        paused = [not target.tries for target in self.targets]
        healthy = [0 if pause else count for pause, count in zip(paused, moment.healthy, strict=True)]
        living = [count > 0 for count in healthy]
        verdict, found = LIVES, None
        if self.attempts:
            found = next((at for at in self.order() if self.may_try(at, healthy, self.tries[at])), None)
        else:
            found = self.by_weight(moment, living)
        if found is None:
            verdict = LAST_RESORT
            asked = [ask and not pause for ask, pause in zip(moment.askable, paused, strict=True)]
            dead = [ask and not alive for ask, alive in zip(asked, living, strict=True)]
            if self.attempts:
                found = next((at for at in self.order() if dead[at] and not self.tries[at]), None)
            else:
                found = self.by_weight(moment, dead)
        if found is None:
            verdict, found = GIVE_UP, self.current if self.attempts else 0
        self.current = found
        if not self.attempts:
            self.first = found
        others = healthy[found] > 1 or any(alive for at, alive in enumerate(living) if at != found)
        elsewhere = any(self.may_try(at, healthy, self.tries[at]) for at in range(len(healthy)) if at != found)
        more = elsewhere or (verdict == LIVES and self.may_try(found, healthy, self.tries[found] + 1))
        if moment.made:
            self.attempts += 1
            self.tries[found] += verdict != GIVE_UP
        return found, verdict, others, more, elsewhere


hashes = st.just(0) | st.integers(1, 2**59)
targets = st.builds(
    Target, st.integers(0, 2), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.booleans()
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[list[Target], list[Moment]]:
    plan = sorted(draw(st.lists(targets, min_size=1, max_size=20)), key=lambda target: target.tier)
    each = st.lists(st.integers(0, 2), min_size=len(plan), max_size=len(plan))
    asked = st.lists(st.booleans(), min_size=len(plan), max_size=len(plan))
    moments = st.lists(st.builds(Moment, st.integers(0, 1000), each, asked, st.booleans(), hashes), max_size=6)
    return plan, draw(moments)


def play(driver: Driver, plan: list[Target], moments: list[Moment]) -> list[tuple[int, int, bool, bool, bool]]:
    command: list[str | int] = ["".join(target.line(at) for at, target in enumerate(plan))]
    for moment in moments:
        command += [
            moment.random,
            moment.hash,
            moment.only,
            *moment.healthy,
            *map(int, moment.askable),
            int(moment.made),
        ]
    sound, *answers = (int(text) for text in driver.ask(*command))
    assert sound == 1
    return [
        (answers[at], answers[at + 1], bool(answers[at + 2]), bool(answers[at + 3]), bool(answers[at + 4]))
        for at in range(0, len(answers), 5)
    ]


@given(requests())
def test_it_is_the_documented_order(driver: Driver, request_: tuple[list[Target], list[Moment]]) -> None:
    plan, moments = request_
    model = Model(plan)
    assert play(driver, plan, moments) == [model.choose(moment) for moment in moments]


def test_weights_are_exact(driver: Driver) -> None:
    plan = [Target(0, 0, 80, 1, False), Target(0, 1, 20, 1, False), Target(1, 2, 1, 1, False)]
    counted = Counter(play(driver, plan, [Moment(random, [1, 1, 1], [False] * 3)])[0][0] for random in range(1000))
    assert counted == {0: 800, 1: 200}


def test_a_conversation_keeps_its_target_and_weights_hold_for_all_of_them(driver: Driver) -> None:
    plan = [Target(0, 0, 80, 1, False), Target(0, 1, 20, 1, False), Target(1, 2, 1, 1, False)]
    taken = [
        [play(driver, plan, [Moment(random, living, [False] * 3, hash=hash_)])[0][0] for random in (0, 99)]
        for living in ([1, 1, 1], [1, 0, 1], [1, 1, 1])
        for hash_ in range(1, 1001)
    ]
    assert all(one == other for one, other in taken)
    before, without, after = taken[:1000], taken[1000:2000], taken[2000:]
    assert before == after
    assert all(there == [0, 0] for there in without)  # no other conversation moved
    assert 150 < sum(there == [1, 1] for there in before) < 250


def test_a_request_that_is_bound_goes_nowhere_else(driver: Driver) -> None:
    plan = [Target(0, 0, 80, 1, False), Target(0, 1, 20, 1, False), Target(1, 2, 1, 2, True)]
    for at, name in enumerate(("cluster 0", "cluster 1", "cluster 2")):
        for healthy in ([1, 1, 2], [0, 0, 0]):
            bound = [Moment(7, healthy, [False] * 3, only=name)] * 2
            assert play(driver, plan, bound) == [
                (at, LAST_RESORT, False, False, False),
                (at, GIVE_UP, False, False, False),
            ]
    gone = Moment(7, [1, 1, 1], [True] * 3, only="cluster 3")
    assert play(driver, plan, [gone]) == [(0, GONE, False, False, False)]


def test_a_paused_target_is_asked_only_for_what_it_alone_holds(driver: Driver) -> None:
    plan = [Target(0, 0, 80, 0, False), Target(0, 1, 20, 1, False), Target(1, 2, 1, 0, True)]
    for random in range(100):
        assert play(driver, plan, [Moment(random, [1, 1, 2], [True] * 3)])[0][:2] == (1, LIVES)
    assert play(driver, plan, [Moment(7, [1, 0, 2], [True, False, True])])[0][:2] == (0, GIVE_UP)
    for at in (0, 2):
        bound = [Moment(7, [1, 1, 2], [False] * 3, only=f"cluster {at}")] * 2
        assert [each[:2] for each in play(driver, plan, bound)] == [(at, LAST_RESORT), (at, GIVE_UP)]


def test_a_dead_target_is_passed_over_and_its_share_goes_to_the_rest_of_its_tier(driver: Driver) -> None:
    plan = [Target(0, 0, 1, 1, False), Target(0, 1, 1, 1, False), Target(1, 2, 1, 1, False)]
    for random in range(4):
        assert play(driver, plan, [Moment(random, [0, 1, 1], [True] * 3)])[0][:2] == (1, LIVES)


def test_own_machines_are_tried_as_often_as_documented(driver: Driver) -> None:
    """Own machines are tried twice only if another one is alive; others' machines and the provider follow."""
    plan = [Target(0, 0, 1, 2, True), Target(0, 0, 1, 2, True), Target(1, 1, 1, 1, False)]
    one = [Moment(0, [1, 1, 1], [False] * 3)] * 4
    assert [at for at, verdict, *_ in play(driver, plan, one) if verdict == LIVES] == [0, 1, 2]
    two = [Moment(0, [2, 2, 1], [False] * 3)] * 6
    assert [at for at, verdict, *_ in play(driver, plan, two) if verdict == LIVES] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    "text",
    [
        *("", "\n", "0 0 1 1 t", "0 0 1 1 t \n", "0 0 1 1 t k\n", "0 0 1 1 t k \n", "0 0 1 1 t  a\n"),
        *("0 0 1 255 t k a\n", "0 0 1 1 x k a\n", "0 0 -1 1 t k a\n", "0 0 1 1 t k a"),
    ],
)
def test_what_is_no_plan_is_refused(driver: Driver, text: str) -> None:
    assert driver.ask(text) == [b"0"]
