"""Set-up, signing in and signing out: over REST like a browser, and over gRPC."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import accounts_pb2 as pb, admin_pb2 as admin

from tests.waiting import until
from tests.xds_server.accounts.conftest import CONSOLE, EMAIL, PASSWORD, Browser, Gateway, serving
from xds_server.accounts import guesses, tokens
from xds_server.store import AuditQuery
from xds_server.store.account_tables import SessionRow

COOKIE = "trunkline_session"


async def test_the_set_up_link_makes_one_admin_once(gateway: Gateway) -> None:
    browser = gateway.browser()
    assert (await browser("GET", "/admin/v1/sign-in:options")).json == {"needs_setup": True, "password": True}
    first = (await gateway.admin.CreateSetupLink(pb.CreateSetupLinkRequest())).url
    second = (await gateway.admin.CreateSetupLink(pb.CreateSetupLinkRequest())).url
    assert first.startswith(f"{CONSOLE}/#setup=")
    body = {"email": "Alice@Example.ORG ", "name": "Alice", "password": PASSWORD}
    for link, status in ((first, 401), (f"{second}x", 401), (second, 200), (second, 401)):
        answer = await gateway.browser()("POST", "/admin/v1/setup:redeem", {**body, "token": link.split("=")[1]})
        assert answer.status == status, answer.json
    answer = await browser.sign_in()
    assert answer.json["user"] == {
        "id": answer.json["user"]["id"], "email": EMAIL, "name": "Alice", "admin": True, "has_password": True,
        "created_at": answer.json["user"]["created_at"],
    }  # fmt: skip
    assert (await browser("GET", "/admin/v1/sign-in:options")).json == {"password": True}
    (event,) = gateway.store.audit_events(AuditQuery(object_type="user"))
    assert (event.actor, event.action, event.object_name) == (f"user:{EMAIL}", "create", EMAIL)
    assert PASSWORD not in event.after
    assert "argon2" not in event.after


@pytest.mark.parametrize(
    ("field", "value"),
    [("email", "nobody"), ("email", "a@b@c"), ("email", "\u212a@example.org"), ("password", "x" * 11),
     ("password", EMAIL), ("password", "x" * 1025), ("name", "a\u202eb")],
)  # fmt: skip
async def test_what_is_not_accepted_of_a_user(gateway: Gateway, field: str, value: str) -> None:
    link = (await gateway.admin.CreateSetupLink(pb.CreateSetupLinkRequest())).url
    body = {"token": link.split("=")[1], "email": EMAIL, "name": "Alice", "password": PASSWORD, field: value}
    answer = await gateway.browser()("POST", "/admin/v1/setup:redeem", body)
    assert (answer.status, answer.json["error"]["param"]) == (400, field)
    assert field != "password" or value not in answer.json["error"]["message"]


async def test_the_cookie_opens_what_the_user_may_call(gateway: Gateway) -> None:
    browser = await gateway.set_up()
    me = (await browser("GET", "/admin/v1/me")).json
    assert me["user"]["email"] == EMAIL
    assert time.time() < int(me["expires_at"]) <= time.time() + 7 * 86_400
    made = await browser("PUT", "/admin/v1/organisations/acme", {"organisation": {"name": "acme"}})
    assert made.status == 200
    (event,) = gateway.store.audit_events(AuditQuery(object_type="organisation"))
    assert event.actor == f"user:{EMAIL}"
    # The same session over gRPC.
    stub = gateway.calling(browser.cookies[COOKIE])
    assert (await stub.GetMe(pb.GetMeRequest())).user.email == EMAIL
    assert (await gateway.admin.GetMe(pb.GetMeRequest())) == pb.GetMeResponse(machine=True)


async def test_a_user_acts_for_nobody_else(gateway: Gateway) -> None:
    browser = await gateway.set_up()
    body = {"organisation": {"name": "acme"}}
    await browser("PUT", "/admin/v1/organisations/acme", body, {"x-trunkline-actor": "user:bob@example.org"})
    (event,) = gateway.store.audit_events(AuditQuery(object_type="organisation"))
    assert event.actor == f"user:{EMAIL}"


async def test_how_the_cookie_is_set(gateway: Gateway) -> None:
    await gateway.set_up()
    said = (await gateway.browser().sign_in()).headers["set-cookie"]
    assert said.startswith(f"{COOKIE}=tl-ses-")
    assert {each.strip() for each in said.split(";")[1:]} == {
        "HttpOnly", "Max-Age=604800", "Path=/", "SameSite=Lax"
    }  # fmt: skip
    secure = gateway.browser(**{"x-forwarded-proto": "https", "origin": "https://gateway.example:8081"})
    said = (await secure.sign_in()).headers["set-cookie"]
    assert said.startswith(f"__Host-{COOKIE}=tl-ses-")
    assert "Secure" in said
    assert (await secure("GET", "/admin/v1/me")).status == 200
    # A cookie set over plain HTTP, or by a man in the middle, does not open the https site.
    secure.cookies[COOKIE] = secure.cookies.pop(f"__Host-{COOKIE}")
    assert (await secure("GET", "/admin/v1/me")).status == 401


async def test_signing_in_takes_over_no_session_that_was_there(gateway: Gateway) -> None:
    attacker = await gateway.set_up()
    planted = dict(attacker.cookies)
    victim = gateway.browser()
    victim.cookies.update(planted)
    assert (await victim.sign_in()).status == 200
    assert victim.cookies != planted
    assert (await attacker("GET", "/admin/v1/me")).status == 401
    # A value that the gateway never issued is no session either.
    victim.cookies[COOKIE] = "tl-ses-" + "x" * 43
    assert (await victim("GET", "/admin/v1/me")).status == 401


async def test_a_dead_session_hinders_no_sign_in(gateway: Gateway) -> None:
    browser = await gateway.set_up()
    browser.cookies[COOKIE] = "tl-ses-gone"
    assert (await browser("GET", "/admin/v1/sign-in:options")).status == 200
    assert (await browser.sign_in()).status == 200


async def test_signing_out_here_and_everywhere(gateway: Gateway) -> None:
    browsers = [await gateway.set_up(), gateway.browser(), gateway.browser()]
    for each in browsers[1:]:
        await each.sign_in()
    kept = dict(browsers[0].cookies)
    answer = await browsers[0]("POST", "/admin/v1/sign-out")
    assert (answer.json, browsers[0].cookies) == ({"ended": 1}, {})
    assert "Max-Age=0" in answer.headers["set-cookie"]
    browsers[0].cookies.update(kept)
    assert [(await each("GET", "/admin/v1/me")).status for each in browsers] == [401, 200, 200]
    assert (await browsers[1]("POST", "/admin/v1/sign-out", {"everywhere": True})).json == {"ended": 2}
    assert (await browsers[2]("GET", "/admin/v1/me")).status == 401


async def test_a_new_password_ends_the_other_sessions(gateway: Gateway) -> None:
    mine, other = await gateway.set_up(), gateway.browser()
    await other.sign_in()
    wrong = await mine(
        "POST", "/admin/v1/me:password", {"current": "not this one", "password": "another one, long"}
    )
    assert (wrong.status, wrong.json["error"]["param"]) == (400, "current")
    body = {"current": PASSWORD, "password": "another one, long"}
    assert (await mine("POST", "/admin/v1/me:password", body)).json == {"ended": 1}
    assert [(await each("GET", "/admin/v1/me")).status for each in (mine, other)] == [200, 401]
    assert (await gateway.browser().sign_in()).status == 401
    assert (await gateway.browser().sign_in(password="another one, long")).status == 200
    with pytest.raises(grpc.aio.AioRpcError, match="a token is not enough"):
        await gateway.admin.ChangePassword(pb.ChangePasswordRequest(password="another one, long"))


def _seen_at(gateway: Gateway) -> int:
    """Returns when the only session was last used."""
    return int(gateway.store.read(lambda view: view.rows("SELECT seen_at FROM user_session"))[0][0])


async def test_sessions_end_by_themselves(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await gateway.set_up()
    now = time.time()
    hash_ = tokens.hash_of(browser.cookies[COOKIE])

    def use(transaction: Any, at: int) -> None:
        row = transaction.session.get(SessionRow, hash_)
        row.seen_at = at
        transaction.session.add(row)

    async def status(after: float) -> int:
        with monkeypatch.context() as patched:
            patched.setattr("xds_server.admin.authenticate.time.time", lambda: now + after)
            return (await browser("GET", "/admin/v1/me")).status

    gateway.store.write("test", lambda tx: use(tx, int(now) - 60))
    assert await status(12 * 3_600 - 120) == 200
    # The use is noted in the background, and must not be noted over what is written below.
    await until(lambda: _seen_at(gateway) >= int(now))
    assert await status(12 * 3_600 + 600) == 401
    gateway.store.write("test", lambda tx: use(tx, int(now) + 7 * 86_400 - 10))
    assert await status(7 * 86_400 - 60) == 200
    assert await status(7 * 86_400 + 1) == 401


async def test_a_session_lasts_while_it_is_used(gateway: Gateway) -> None:
    browser = await gateway.set_up()
    hash_ = tokens.hash_of(browser.cookies[COOKIE])

    def age(transaction: Any) -> None:
        row = transaction.session.get(SessionRow, hash_)
        row.seen_at -= 3_600
        transaction.session.add(row)

    gateway.store.write("test", age)
    assert _seen_at(gateway) < time.time() - 3_000
    began = int(time.time())
    assert (await browser("GET", "/admin/v1/me")).status == 200
    await until(lambda: _seen_at(gateway) >= began)


@pytest.fixture
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengthens the waits: on a slow machine, a wait of seconds is over before the test can observe it."""
    monkeypatch.setattr(guesses, "ACCOUNT", guesses.AttemptBound(free=5, first=600, longest=900))
    monkeypatch.setattr(guesses, "ADDRESS", guesses.AttemptBound(free=30, first=600, longest=900))


@pytest.mark.usefixtures("long_waits")
async def test_guessing_gets_slow_whether_or_not_there_is_an_account(gateway: Gateway) -> None:
    await gateway.set_up()
    for email in (EMAIL, "nobody@example.org"):
        said = set()
        for attempt in range(6):
            address = {"x-trunkline-client-address": f"192.0.2.{attempt}"}
            answer = await Browser(gateway.session, headers=address).sign_in(email, "wrong password")
            if answer.status == 429:
                break
            said.add((answer.status, answer.json["error"]["message"]))
        assert said == {(401, "the e-mail address or the password is wrong")}
        assert (answer.status, answer.code) == (429, "resource_exhausted")
        assert int(answer.headers["retry-after"]) >= 1
    # The right password waits as long.
    assert (await gateway.browser().sign_in()).status == 429


@pytest.mark.usefixtures("long_waits")
async def test_guesses_from_one_address_at_many_accounts(gateway: Gateway) -> None:
    await gateway.set_up()
    address = {"x-trunkline-client-address": "192.0.2.1"}
    statuses = []
    for number in range(40):
        guesser = Browser(gateway.session, headers=address)
        statuses.append((await guesser.sign_in(f"user{number}@example.org", "wrong password")).status)
    assert statuses[0] == 401
    assert 429 in statuses
    assert (await gateway.browser(**{"x-trunkline-client-address": "192.0.2.2"}).sign_in()).status == 200


@pytest.mark.usefixtures("long_waits")
async def test_guesses_at_once_are_no_way_around(gateway: Gateway) -> None:
    await gateway.set_up()
    tried = await asyncio.gather(*(gateway.browser().sign_in(password=f"wrong {each}") for each in range(20)))
    assert sum(each.status == 401 for each in tried) <= 5
    assert {each.status for each in tried} == {401, 429}


async def test_nothing_that_was_typed_is_kept(gateway: Gateway) -> None:
    """People sometimes type their password into the field of their address."""
    await gateway.browser().sign_in("my secret password", "x")
    rows = gateway.store.read(lambda view: view.rows("SELECT subject FROM sign_in_guess"))
    assert rows
    assert not any("secret" in subject for (subject,) in rows)


async def test_values_are_stored_as_hashes(gateway: Gateway) -> None:
    browser = await gateway.set_up()
    link = (await gateway.admin.CreateSetupLink(pb.CreateSetupLinkRequest())).url.split("=")[1]

    def stored(table: str) -> str:
        return str(gateway.store.read(lambda view: view.rows(f"SELECT * FROM {table}")))

    for table in ("user_session", "user_account", "account_link", "audit_event"):
        text = stored(table)
        for secret in (browser.cookies[COOKIE], link, PASSWORD):
            assert secret not in text
            assert secret.encode().hex() not in text


@pytest.mark.usefixtures("long_waits")
async def test_replicas_share_sessions_and_guesses(gateway: Gateway, open_store: Any, tmp_path: Any) -> None:
    browser = await gateway.set_up()
    async for replica in serving(open_store(), tmp_path / "replica"):
        elsewhere = Browser(replica.session, cookies=browser.cookies)
        assert (await elsewhere("GET", "/admin/v1/me")).status == 200
        for _ in range(6):
            await gateway.browser().sign_in(password="wrong password")
        assert (await replica.browser().sign_in()).status == 429
        await elsewhere("POST", "/admin/v1/sign-out", {"everywhere": True})
    assert (await browser("GET", "/admin/v1/me")).status == 401


async def test_without_a_session_nothing_is_reported(gateway: Gateway) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.ListKeys(admin.ListKeysRequest())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert (await gateway.browser()("GET", "/admin/v1/keys")).status == 401
