"""Alerts reach a real webhook signed and once, and are sent again until it accepts them."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from trunkline_proto.limits.v1 import limits_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.xds_server.alerts.reached import NOW, alert
from xds_server.alerts import table
from xds_server.alerts.sender import AlertSender
from xds_server.alerts.webhook import SIGNATURE, Webhook, value as shown_value
from xds_server.ledger.ledger import Ledger
from xds_server.model import Alerting, Gateway
from xds_server.store import AsyncStore, Store, writing

SECRET = b"a-secret-of-the-webhook"


class Receiver:
    """A webhook that answers with `status` and collects the requests in `bodies`."""

    def __init__(self) -> None:
        self.status = 204
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        content = await request.read()
        stamp, _, digest = request.headers[SIGNATURE].partition(",v1=")
        at = stamp.removeprefix("t=")
        assert digest == hmac.new(SECRET, f"{at}.".encode() + content, hashlib.sha256).hexdigest()
        self.paths.append(request.path)
        self.bodies.append(json.loads(content))
        return web.Response(status=self.status, headers={"location": "/elsewhere"})


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/{path}", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


class Sending:
    """A sender with the clock `now`."""

    def __init__(self, store: Store, ledger: Ledger, url: str) -> None:
        self.now = float(NOW)
        self.store = store
        self.ledger = ledger
        gateway = Gateway(alerts=Alerting(url, SECRET if url else b""))
        store.write("test", lambda transaction: writing.gateway.put(transaction, gateway, expected=None))
        self.sender = AlertSender(ledger, AsyncStore(store), Webhook("", lambda: self.now), lambda: self.now)

    async def deliveries(self) -> list[str]:
        return [each.delivery for each in await self.ledger.write(lambda tx: table.current(tx, NOW, 10))]


async def test_an_alert_is_sent_once(store: Store, ledger: Ledger, receiver: Receiver) -> None:
    sending = Sending(store, ledger, receiver.url)
    await sending.sender.take([alert()])
    await sending.sender.take([alert(reached_at=NOW + 1)])
    await sending.sender.send()
    await sending.sender.send()
    (body,) = receiver.bodies
    (sent,) = body["alerts"]
    assert sent.pop("id").endswith(f"-{NOW}")
    assert body["version"] == 1
    assert sent == {
        "holder": "org:org_1",
        "limit": "cost_usd/1h",
        "unit": "usd",
        "amount": "10",
        "taken": "8.25",
        "share": 0.8,
        "soft": False,
        "refused": False,
        "reached_at": "2027-01-15T08:00:00Z",
        "until": "2027-01-15T09:00:00Z",
    }
    assert await sending.deliveries() == ["sent"]
    assert sending.sender.counts == {"new": 1, "known": 1, "sent": 1, "retried": 0, "failed": 0}


async def test_what_fails_is_sent_again_and_given_up_in_the_end(
    store: Store, ledger: Ledger, receiver: Receiver
) -> None:
    sending = Sending(store, ledger, receiver.url)
    receiver.status = 500
    await sending.sender.take([alert(until=NOW + 10**6)])
    for number in range(20):
        assert not await sending.sender.send()
        assert len(receiver.bodies) == number + 1
        # Not before its time, which is within ten minutes.
        sending.now += 1
        assert not await sending.sender.send()
        assert len(receiver.bodies) == number + 1
        sending.now += 600
    assert await sending.deliveries() == ["failed"]
    assert len(receiver.bodies) == 20
    assert sending.sender.counts["failed"] == 1


async def test_a_webhook_that_is_away_and_comes_back(store: Store, ledger: Ledger) -> None:
    # Nobody listens on the port, and nobody else can take it.
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/hook"
        sending = Sending(store, ledger, url)
        await sending.sender.take([alert()])
        await sending.sender.send()
    (kept,) = await ledger.write(lambda tx: table.current(tx, NOW, 10))
    assert (kept.delivery, kept.attempts) == ("waiting", 1)
    assert "cannot be reached" in kept.error
    assert url not in kept.error


async def test_a_redirect_is_not_followed(store: Store, ledger: Ledger, receiver: Receiver) -> None:
    sending = Sending(store, ledger, receiver.url)
    receiver.status = 307
    await sending.sender.take([alert()])
    await sending.sender.send()
    assert receiver.paths == ["/hook"]
    (kept,) = await ledger.write(lambda tx: table.current(tx, NOW, 10))
    assert kept.error == "the webhook answered 307"


async def test_a_name_that_stands_for_this_machine_is_not_reached(receiver: Receiver, monkeypatch: Any) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    # A name that anybody can register, and that resolves to this machine.
    monkeypatch.setattr("socket.getaddrinfo", _loopback(int(port)))
    problem = await Webhook("").post(f"http://hooks.example:{port}/hook", SECRET, b"{}")
    assert problem.startswith("the webhook cannot be reached")
    assert not receiver.bodies


def _loopback(port: int) -> Any:
    def found(*_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    return found


async def test_without_a_webhook_nothing_waits(store: Store, ledger: Ledger) -> None:
    sending = Sending(store, ledger, "")
    await sending.sender.take([alert()])
    assert not await sending.sender.send()
    assert await sending.deliveries() == ["none"]


async def test_end_users_are_named_as_clients_sent_them(store: Store, ledger: Ledger, receiver: Receiver) -> None:
    sending = Sending(store, ledger, receiver.url)
    each = policy.Limit(metric=policy.METRIC_TOKENS, calendar=policy.CALENDAR_DAY, amount=9, each=policy.EACH_USER)
    await sending.sender.take([alert(limit=each, value=value, taken=9) for value in ("a%20b", "", "%")])
    await sending.sender.send()
    sent = receiver.bodies[0]["alerts"]
    assert sorted((one["end_user"] or repr(one["end_user"]), one["limit"]) for one in sent) == [
        ("''", "tokens/day:user"),
        ("None", "tokens/day:user"),
        ("a b", "tokens/day:user"),
    ]


@pytest.mark.parametrize(("value", "shown"), [("org_a/b%20c", "b c"), ("org_a/a/b", "a/b"), ("org_a/%", None)])
def test_in_a_limit_of_a_route_the_organisation_is_not_part_of_the_name(value: str, shown: str | None) -> None:
    assert shown_value(pb.Alert(holder=pb.HOLDER_ROUTE, value=value)) == shown


def test_the_secret_is_sealed_and_shown_to_nobody(store: Store) -> None:
    gateway = Gateway(alerts=Alerting("https://hooks.example/a", SECRET))
    done = store.write("test", lambda transaction: writing.gateway.put(transaction, gateway, expected=None))
    stored = store.load().gateway.alerts
    assert SECRET not in stored.secret
    assert store.webhook_secret(stored) == SECRET
    assert SECRET.decode() not in repr(done.events)
    # Writing the same settings is no change, with or without the secret.
    for secret in (SECRET, b""):
        same = Gateway(alerts=Alerting("https://hooks.example/a", secret))
        again = store.write("test", lambda tx, same=same: writing.gateway.put(tx, same, expected=None))  # type: ignore[misc]
        assert not again.events
    other = Gateway(alerts=Alerting("https://hooks.example/a", SECRET + b"2"))
    changed = store.write("test", lambda tx: writing.gateway.put(tx, other, expected=None))
    assert [sorted(event.changed) for event in changed.events] == [["alerts"]]
