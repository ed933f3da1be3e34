"""Headroom and alerts that translators report, as operators see them: never with a credential."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.requests.v1 import requests_pb2 as pb

from tests.envoy.native import Driver
from tests.xds_server.store.databases import new_sqlite
from xds_server.admin.apply import apply
from xds_server.reasons import TEXTS
from xds_server.requests.attending import Translators
from xds_server.requests.hosts import Host, hosts
from xds_server.requests.resting import RestingTargets
from xds_server.store import AsyncStore, Store

NOW = 2_000_000_000.0
SECRETS = ("sk-first-of-the-tests", "sk-second-of-the-tests")


class Gateway:
    """A control plane's store, and one translator that reports `standing`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.state = store.load()
        self.numbers = {(host.target_id, host.credential): number for number, host in hosts(self.state).items()}
        self.standing = pb.Standing()
        self.translators = Translators(patience=60)
        self.resting = RestingTargets(AsyncStore(store), self.translators, clock=lambda: NOW)

    async def attend(self) -> None:
        attending = self.translators.joined("edge")
        while True:
            inquiry = await attending.inquiries.get()
            assert inquiry.standing
            attending.answered(pb.AttendRequest(number=inquiry.number, standing=self.standing))


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    document = admin.Document(
        providers=[
            admin.Provider(
                name="p",
                base_url="https://api.example/v1",
                credentials=SECRETS,
                quota=[admin.Quota(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=30)],
            )
        ],
        routes=[admin.Route(model="m", targets=[admin.RouteTarget(provider="p", model="x")])],
    )
    store = Store.open(new_sqlite(tmp_path / "t.db"), key_file=tmp_path / "secret.key")
    store.write("tests", lambda transaction: apply(transaction, document))
    made = Gateway(store)
    attending = asyncio.create_task(made.attend())
    yield made
    attending.cancel()
    store.close()


def shown(row: admin.CredentialHeadroom) -> tuple[object, ...]:
    return row.credential, row.target_id, row.source, row.metric, row.limit, row.remaining, row.rests_until


async def test_what_is_left_of_each_quota(gateway: Gateway) -> None:
    of_second, target = gateway.numbers["", 2], gateway.numbers["p/x", 1]
    gateway.standing.counted.add(
        account=of_second, metric=policy.METRIC_REQUESTS, per_seconds=60, amount=30, used=31, wait_ms=9_000
    )
    gateway.standing.told.add(host=target, metric="tokens", limit=1_000, remaining=7, reset_ms=20_000)
    gateway.standing.rests.add(host=target, cause=2, for_all=True, left_ms=20_000)
    gateway.standing.rests.add(host=12345, cause=401, for_all=True)  # a cluster of another version, or a machine
    rows = (await gateway.resting.headroom("")).credentials
    assert [shown(row) for row in rows] == [
        (1, "", "quota", "requests", 30, 30, 0),
        (1, "p/x", "headers", "tokens", 1_000, 7, NOW + 20),
        (2, "", "quota", "requests", 30, 0, NOW + 9),
    ]
    assert rows[1].reason == "the provider says that its quota is used up"
    assert rows[2].reason == "its quota of 30 requests in 60 s is used up"
    assert len({row.digest for row in rows}) == 2
    assert not any(secret in str(rows) for secret in SECRETS)
    assert not (await gateway.resting.headroom("other")).credentials


@pytest.mark.parametrize(
    ("cause", "kind", "reason"),
    [
        (401, admin.REST_ALERT_KIND_CREDENTIAL_REFUSED, "the provider refuses the credential (401)"),
        (2, admin.REST_ALERT_KIND_QUOTA_USED_UP, "the provider says that its quota is used up"),
        (429, admin.REST_ALERT_KIND_TARGET_RESTS, "the provider limits it (429)"),
        (
            0,
            admin.REST_ALERT_KIND_TARGET_RESTS,
            "it failed several times in a row, and others served the same requests",
        ),
        (1, admin.REST_ALERT_KIND_TARGET_RESTS, "its health checks fail"),
    ],
)
async def test_alerts_say_what_rests_why_and_since_when(
    gateway: Gateway, cause: int, kind: admin.RestAlertKind.ValueType, reason: str
) -> None:
    gateway.standing.rests.add(
        host=gateway.numbers["p/x", 2], cause=cause, for_all=True, age_ms=5_000, left_ms=25_000
    )
    (alert,) = await gateway.resting.alerts()
    assert (alert.kind, alert.subject, alert.reason, alert.translator) == (kind, "p/x#2", reason, "edge")
    assert (alert.since, alert.until) == (int(NOW) - 5, int(NOW) + 25)
    assert TEXTS[alert.reason_code.code].format(*alert.reason_code.values) == reason


async def test_what_only_one_caller_met_is_an_alert_where_a_credential_is_refused(gateway: Gateway) -> None:
    gateway.standing.rests.add(host=gateway.numbers["", 1], cause=403)
    gateway.standing.rests.add(host=gateway.numbers["p/x", 1], cause=429)
    (alert,) = await gateway.resting.alerts()
    assert (alert.subject, alert.until) == ("p", 0)
    assert alert.reason == "the provider refuses the credential (403), to one caller so far"


async def test_without_translators_nothing_is_known_but_the_configuration(gateway: Gateway) -> None:
    alone = RestingTargets(AsyncStore(gateway.store), Translators(), clock=lambda: NOW)
    assert [shown(row)[:4] for row in (await alone.headroom("p")).credentials] == [
        (1, "", "quota", "requests"),
        (2, "", "quota", "requests"),
    ]
    assert await alone.alerts() == []


@pytest.mark.compiler
async def test_numbers_are_those_of_the_module(gateway: Gateway) -> None:
    """Both sides compute the module's own hash of a cluster's and a credential's name."""
    state = gateway.state
    by_target = {(host.target_id, host.credential): host for host in hosts(state).values()}
    with Driver("quota") as driver:
        for (target, credential), number in gateway.numbers.items():
            host: Host = by_target[target, credential]
            name = f"p/x{'#2' if credential == 2 else ''}" if target else host.digest
            assert driver.ask("number", "cluster" if target else "credential", name) == [str(number).encode()]
