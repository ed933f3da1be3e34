"""Gateways of several replicas share quotas and pauses through the database, over restarts of either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.requests.v1 import requests_pb2 as pb

from tests.xds_server.store.databases import OpenStore, database, key_file, open_store
from xds_server.admin.apply import apply
from xds_server.ledger.ledger import Ledger
from xds_server.requests.attending import TranslatorCall, Translators
from xds_server.requests.hosts import account, credentials
from xds_server.requests.resting import RestingTargets
from xds_server.requests.sharing.plan import GONE_MS
from xds_server.requests.sharing.service import QuotaSharing
from xds_server.store import AsyncStore, Store

__all__ = ["database", "key_file", "open_store"]

AMOUNT = 100
START = 2_000_000_000.0


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


class Gateway:
    """A translator with its Envoy; it applies what it is sent."""

    def __init__(self, name: str, account: int) -> None:
        self.name, self.account = name, account
        self.share = self.used = self.wanted = 0
        self.process = 1
        self.pauses: list[pb.Pause] = []
        self.told: list[pb.Sharing] = []
        self.silent = self.leaving = False

    def standing(self) -> pb.Standing:
        found = pb.Standing(process=self.process, pauses=self.pauses, leaving=self.leaving, gateway=self.name)
        about = {"account": self.account, "metric": policy.METRIC_REQUESTS, "per_seconds": 60, "amount": AMOUNT}
        if self.process:
            found.uses.add(share=self.share, used=self.used, wanted=self.wanted, **about)
            found.counted.add(used=self.used, wait_ms=5_000 if self.wanted else 0, **about)
        return found

    async def attend(self, call: TranslatorCall) -> None:
        while True:
            inquiry = await call.inquiries.get()
            if self.silent:
                continue
            if inquiry.HasField("sharing"):
                self.told.append(inquiry.sharing)
                for share in inquiry.sharing.shares:
                    self.share = share.share
            call.answered(pb.AttendRequest(number=inquiry.number, standing=self.standing()))


class Replica:
    """A running control plane; the block's end stops it."""

    def __init__(self, store: Store, clock: Clock, *, replicas: bool = True) -> None:
        self.store = store
        self.ledger = Ledger(store.url, store.write_lock)
        self.translators = Translators(patience=60)
        self.clock = clock
        self.sharing = QuotaSharing(
            AsyncStore(store), self.translators, self.ledger, replicas=replicas, clock=clock
        )
        self.tasks: dict[str, tuple[asyncio.Task[None], TranslatorCall]] = {}

    def join(self, *gateways: Gateway) -> None:
        for gateway in gateways:
            call = self.translators.joined("translator-local", gateway.name)
            self.tasks[gateway.name] = asyncio.create_task(gateway.attend(call)), call

    def leave(self, *gateways: Gateway) -> None:
        for gateway in gateways:
            task, call = self.tasks.pop(gateway.name)
            task.cancel()
            self.translators.left(call)

    def close(self) -> None:
        for task, _ in self.tasks.values():
            task.cancel()
        self.ledger.close()


class Plane:
    """Replicas with one database, and gateways."""

    def __init__(self, open_store: OpenStore) -> None:
        self.open_store, self.clock = open_store, Clock()
        store = self.open_store()
        store.write("tests", lambda transaction: apply(transaction, document(AMOUNT)))
        (host,) = credentials(store.load())
        self.account = account(host)
        self.replicas: list[Replica] = []

    def replica(self, *gateways: Gateway, replicas: bool = True) -> Replica:
        made = Replica(self.open_store(), self.clock, replicas=replicas)
        made.join(*gateways)
        self.replicas.append(made)
        return made

    def gateway(self, name: str) -> Gateway:
        return Gateway(name, self.account)

    async def look(self, *replicas: Replica, rounds: int = 3) -> None:
        for _ in range(rounds):
            for each in replicas:
                await each.sharing.look()
            self.clock.now += 0.5


def document(amount: int | None) -> admin.Document:
    quota = [admin.Quota(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=amount)] if amount else []
    provider = admin.Provider(name="p", base_url="https://api.example/v1", credentials=["sk-p"], quota=quota)
    return admin.Document(providers=[provider])


@pytest.fixture
def plane(open_store: OpenStore) -> Plane:
    return Plane(open_store)


@pytest.fixture(autouse=True)
async def closed(plane: Plane) -> AsyncIterator[None]:
    yield
    for each in plane.replicas:
        each.close()


async def test_one_gateway_has_all_of_it(plane: Plane) -> None:
    gateway = plane.gateway("a")
    await plane.look(plane.replica(gateway))
    assert gateway.share == AMOUNT
    assert len(gateway.told) == 1


async def test_gateways_of_one_replica_share_in_one_round(plane: Plane) -> None:
    first, second = gateways = plane.gateway("a"), plane.gateway("b")
    replica = plane.replica(*gateways, replicas=False)
    await plane.look(replica, rounds=1)
    assert (first.share, second.share) == (50, 50)
    first.used, first.wanted = 50, 60
    await plane.look(replica, rounds=1)
    assert (first.share, second.share) == (100, 0)
    assert first.told[-1].gateways == 2
    # It has to wait until the first one's use leaves the window, and says so to its clients.
    first.used, second.wanted = 100, 1
    await plane.look(replica)
    assert (first.share, second.share) == (99, 0)
    assert 3_000 < second.told[-1].shares[0].room_ms <= 5_000
    first.used = 99
    await plane.look(replica)
    assert second.share == 1


async def test_gateways_of_two_replicas_share_through_the_database(plane: Plane) -> None:
    first, second = plane.gateway("a"), plane.gateway("b")
    replicas = plane.replica(first), plane.replica(second)
    await plane.look(*replicas)
    assert (first.share, second.share) == (50, 50)
    first.used, second.used, second.wanted = 10, 50, 80
    await plane.look(*replicas)
    assert (first.share, second.share) == (10, 90)


async def test_a_share_survives_a_restart_of_the_control_plane(plane: Plane) -> None:
    first, second = plane.gateway("a"), plane.gateway("b")
    replica = plane.replica(first, second, replicas=False)
    first.used, first.wanted = 0, 90
    await plane.look(replica)
    assert (first.share, second.share) == (100, 0)
    # The first one returns later than the second, which must not get what the first one may use meanwhile.
    plane.clock.now += 600
    second.wanted = 70
    later = plane.replica(second, replicas=False)
    await plane.look(later)
    assert second.share == 0
    later.join(first)
    first.wanted = 0
    await plane.look(later)
    assert (first.share, second.share) == (0, 100)


async def test_what_a_gone_gateway_has_left_is_the_others(plane: Plane) -> None:
    first, second = plane.gateway("a"), plane.gateway("b")
    replica = plane.replica(first, second, replicas=False)
    first.used, second.wanted = 30, 70
    await plane.look(replica)
    replica.leave(first)
    await plane.look(replica)
    assert second.share == 70
    second.wanted = 100
    plane.clock.now += GONE_MS / 1000 + 1
    await plane.look(replica)
    assert second.share == 100
    plane.clock.now += 120
    await plane.look(replica)
    assert set(replica.sharing.current()) == {"b"}


async def test_a_gateway_that_drains_leaves_its_share_to_its_successor(plane: Plane) -> None:
    first, second = plane.gateway("a"), plane.gateway("b")
    replicas = plane.replica(first), plane.replica()
    first.used = 10
    await plane.look(*replicas)
    assert first.share == AMOUNT
    first.leaving = True
    await plane.look(replicas[0])
    replicas[0].leave(first)
    replicas[1].join(second)
    await plane.look(replicas[1])
    assert second.share == AMOUNT - 10
    assert second.told[-1].gateways == 1
    # The gateway may come back.
    first.leaving = False
    replicas[0].join(first)
    second.used = 40
    await plane.look(*replicas)
    assert (first.share, second.share) == (35, 65)


async def test_a_silent_gateway_keeps_what_it_has(plane: Plane) -> None:
    first, second = plane.gateway("a"), plane.gateway("b")
    replica = plane.replica(first, second, replicas=False)
    await plane.look(replica)
    first.silent, second.used, second.wanted = True, 50, 50
    replica.translators._patience = 0.05
    await plane.look(replica)
    assert (first.share, second.share) == (50, 50)
    first.silent, replica.translators._patience = False, 60
    await plane.look(replica)
    assert (first.share, second.share) == (0, 100)


async def test_an_envoy_that_has_begun_again_is_informed_again(plane: Plane) -> None:
    gateway = plane.gateway("a")
    replica = plane.replica(gateway)
    await plane.look(replica)
    gateway.process, gateway.used = 0, 0
    await plane.look(replica)
    gateway.process, gateway.share = 2, 25
    await plane.look(replica)
    assert gateway.share == AMOUNT
    gateway.share = 3  # from an older file
    await plane.look(replica)
    assert gateway.share == AMOUNT


async def test_a_changed_amount_is_divided_anew(plane: Plane) -> None:
    gateways = plane.gateway("a"), plane.gateway("b")
    replica = plane.replica(*gateways, replicas=False)
    await plane.look(replica)
    replica.store.write("tests", lambda transaction: apply(transaction, document(30)))
    await plane.look(replica)
    assert [each.share for each in gateways] == [15, 15]


async def test_a_pause_is_known_to_all_gateways(plane: Plane) -> None:
    first, second, third = plane.gateway("a"), plane.gateway("b"), plane.gateway("c")
    replicas = plane.replica(first, second), plane.replica(third)
    await plane.look(*replicas)
    first.pauses = [pb.Pause(host=7, cause=429, reach=0, stated=True, key=3, age_ms=10, left_ms=20_000)]
    await plane.look(*replicas, rounds=1)
    for gateway in (second, third):
        (pause,) = gateway.told[-1].pauses
        assert (pause.host, pause.cause, pause.key) == (7, 429, 3)
        assert 19_000 < pause.left_ms <= 20_000
    assert not first.told[-1].pauses
    # Told once; and again when it is known whom it concerns. What others met is not passed on.
    second.pauses = [pb.Pause(host=7, foreign=True, cause=429, reach=0, left_ms=19_500)]
    reported = [len(each.told) for each in (first, second, third)]
    for _ in range(3):
        first.pauses[0].left_ms -= 500
        await plane.look(*replicas, rounds=1)
    assert [len(each.told) for each in (first, second, third)] == reported
    first.pauses[0].reach = 2
    await plane.look(*replicas, rounds=1)
    assert [len(each.told) for each in (first, second, third)] == [reported[0], reported[1] + 1, reported[2] + 1]


async def test_without_quotas_a_lone_gateway_is_not_asked(plane: Plane) -> None:
    gateway = plane.gateway("a")
    replica = plane.replica(gateway, replicas=False)
    replica.store.write("tests", lambda transaction: apply(transaction, document(None)))
    asked = len(gateway.told)
    assert not await replica.sharing.look()
    assert not replica.sharing.current()
    assert len(gateway.told) == asked
    second = plane.gateway("b")
    replica.join(second)
    assert await replica.sharing.look()
    assert second.told[-1] == pb.Sharing(gateways=2)


async def test_operators_see_what_all_gateways_use(plane: Plane) -> None:
    first, second = plane.gateway("a"), plane.gateway("b")
    replicas = plane.replica(first), plane.replica(second)
    await plane.look(*replicas)
    first.used, second.used, first.wanted = 50, 20, 1
    await plane.look(*replicas)
    here = replicas[0]
    resting = RestingTargets(AsyncStore(here.store), here.translators, here.sharing.current, plane.clock)
    rows = (await resting.headroom("p")).credentials
    assert sorted((row.limit, row.remaining, row.share, row.used) for row in rows) == [
        (100, 30, 20, 20),
        (100, 30, 80, 50),
    ]
    assert [row.translator for row in rows] == ["translator-local/a", "translator-local/b"]
    assert not await resting.alerts()
    second.used = 50
    await plane.look(*replicas)
    (alert,) = await resting.alerts()
    assert alert.translator == "translator-local/a"
    assert alert.reason == "its quota of 100 requests in 60 s is used up"
