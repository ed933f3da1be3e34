"""Days of machines that their owners use now and then: the rules of sidecars and control plane, on a simulated
clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings, strategies as st
from trunkline_proto.node.v1 import registry_pb2 as pb

from node_sidecar.preferences.idle import MEASURE_AT_MOST, IdleRule, IdleState, IdleWatch
from node_sidecar.use.owner import OwnerUse
from tests.xds_server.nodes.reporting import Scene, first, heartbeat, node, node_id
from xds_server.nodes.measuring import GRANT

RULE = IdleRule(cpu=20, gpu=10, after=60, recheck=120)
TICK = 2.0
#: Seconds until a node notices an owner who uses half of the machine, where use by process can be read.
NOTICED = 8.0
#: The duration of a request in ticks.
RUNS = 4


@dataclass
class Machine:
    """A machine. `owner` is the current percentage of CPU and GPU that the owner uses; `running` has the ends of
    requests, in ticks.
    """

    watch: IdleWatch
    separate: bool
    owner: float = 0.0
    running: list[int] = field(default_factory=list)
    using_since: float | None = None
    measuring_since: float | None = None

    @property
    def open(self) -> bool:
        return self.watch.state is IdleState.IDLE

    def sample(self, now: float) -> None:
        gpu = self.owner if self.separate else min(100.0, self.owner + 90 * bool(self.running))
        self.watch.sample(now, OwnerUse(self.owner, gpu, None, self.separate, len(self.running)))

    def report(self) -> pb.NodeReport:
        state = self.watch.state
        return heartbeat(
            availability=pb.AVAILABILITY_OPEN if self.open else pb.AVAILABILITY_CLOSED,
            measurement_wanted=self.watch.wants_measurement or state is IdleState.MEASURING,
        )


class Day:
    """A pool of machines with requests on all serving ones, all the time."""

    def __init__(self, number: int, *, separate: bool) -> None:
        self.machines = [Machine(IdleWatch(RULE, 0.0), separate) for _ in range(number)]
        self.scene = Scene(*(node(each) for each in range(number)))
        self.tick = 0
        for each in range(number):
            self.scene.report(each, first(availability=pb.AVAILABILITY_CLOSED))

    @property
    def now(self) -> float:
        return self.tick * TICK

    def step(self) -> None:
        self.tick += 1
        self.scene.clock.move(TICK)
        for number, machine in enumerate(self.machines):
            machine.running = [end for end in machine.running if end > self.tick]
            machine.sample(self.now)
            self.scene.report(number, machine.report())
            if self.scene.live.may_measure(node_id(number), self.scene.clock.now):
                machine.watch.measure(self.now)
                self.scene.report(number, machine.report())
        for number, machine in enumerate(self.machines):
            # New requests go to the nodes in the gateway's pools.
            if self.scene.health(number) == "healthy":
                machine.running.append(self.tick + RUNS)
        self._note()

    def _note(self) -> None:
        for machine in self.machines:
            machine.using_since = None if not machine.owner else (machine.using_since or self.now)
            measuring = machine.watch.state is IdleState.MEASURING
            machine.measuring_since = None if not measuring else (machine.measuring_since or self.now)
            if machine.measuring_since is not None:
                assert self.now - machine.measuring_since <= MEASURE_AT_MOST + TICK


#: For each step of a day: its ticks, and the use by each machine's owner.
days = st.lists(
    st.tuples(st.integers(1, 60), st.tuples(*[st.sampled_from([0.0, 0.0, 50.0, 100.0])] * 3)),
    min_size=1,
    max_size=12,
)


@given(days, st.integers(1, 3), st.booleans())
@settings(max_examples=60, deadline=None)
def test_it_never_serves_others_for_longer_than_the_delay_while_its_owner_uses_it(
    day: list[tuple[int, tuple[float, ...]]], number: int, separate: bool
) -> None:
    pool = Day(number, separate=separate)
    for ticks, owners in day:
        for machine, owner in zip(pool.machines, owners, strict=False):
            machine.owner = owner
        for _ in range(ticks):
            pool.step()
            for machine in pool.machines:
                # The owner's CPU use is always known separately, and this owner uses both.
                if machine.using_since is not None and pool.now - machine.using_since > NOTICED:
                    assert not machine.open


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("number", [2, 3, 5])
def test_of_idle_machines_one_serves_at_any_time(number: int, separate: bool) -> None:
    """Requests run on all of them all the time, and machines that need a measurement get it again and again."""
    pool = Day(number, separate=separate)
    while not all(machine.open for machine in pool.machines):
        pool.step()
        assert pool.now < RULE.after + 10
    measured = 0
    for _ in range(3_000):
        before = [machine.watch.state for machine in pool.machines]
        pool.step()
        serving = [machine for machine in pool.machines if machine.open]
        assert len(serving) >= number - 1
        measured += sum(
            was is IdleState.MEASURING and machine.watch.state is IdleState.IDLE
            for was, machine in zip(before, pool.machines, strict=True)
        )
    assert measured == 0 if separate else measured > 10


def test_an_owner_who_uses_the_gpu_alone_is_noticed_by_measuring() -> None:
    """Only totals can be read, and requests run all the time: the owner is noticed within `recheck` and each
    machine's turn.
    """
    pool = Day(3, separate=False)
    while not all(machine.open for machine in pool.machines):
        pool.step()
    busy = pool.machines[1]
    original = busy.sample

    def gaming(now: float) -> None:
        gpu = 100.0
        busy.watch.sample(now, OwnerUse(5.0, gpu, None, separate=False, in_flight=len(busy.running)))

    busy.sample = gaming  # type: ignore[method-assign]
    began = pool.now
    while busy.open or busy.watch.state is IdleState.MEASURING:
        pool.step()
        assert pool.now - began <= RULE.recheck + 3 * GRANT
    for _ in range(500):
        pool.step()
        assert busy.watch.state is IdleState.BUSY
    busy.sample = original  # type: ignore[method-assign]
    began = pool.now
    while not busy.open:
        pool.step()
        assert pool.now - began <= RULE.after + 40
