"""Attacks on accounts in several steps, by an outsider, a former insider or somebody with a stolen value."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.fakes.identity_provider import FakeProvider, identity_provider
from tests.xds_server.accounts.conftest import EMAIL, PASSWORD, Browser, Gateway, serving
from tests.xds_server.accounts.people import invite, town
from tests.xds_server.accounts.test_oidc import ANYBODY, BOB, begin, come_back, configure, corp, me, sign_in
from tests.xds_server.store.databases import new_sqlite
from xds_server.accounts import guesses
from xds_server.accounts.permissions import MAX_ANYBODYS_BYTES, MAX_USERS_BYTES
from xds_server.store import Store

pytestmark = pytest.mark.slow

COOKIE = "trunkline_session"
ANOTHER = "another one, long"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """Runs on SQLite only: the tests of sessions cover what differs between databases."""
    store = Store.open(new_sqlite(tmp_path / "trunkline.db"), key_file=tmp_path / "secret.key")
    async for each in serving(store, tmp_path):
        yield each
    store.close()


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with identity_provider() as running:
        yield running


async def _organisation(gateway: Gateway, name: str = "acme") -> None:
    await gateway.admin.PutOrganisation(pb.PutOrganisationRequest(organisation=pb.Organisation(name=name)))


async def _invitation(gateway: Gateway, email: str = BOB, organisation: str = "acme") -> str:
    made = await gateway.admin.InviteUser(pb.InviteUserRequest(email=email, organisation=organisation))
    return str(made.url.partition("#invite=")[2])


async def _code(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


# Sessions.


@pytest.mark.slow
@pytest.mark.parametrize("how", ["sign-in", "setup", "invitation", "reset", "provider", "password"])
async def test_whatever_begins_a_session_ends_the_one_that_was_planted(
    gateway: Gateway, provider: FakeProvider, how: str
) -> None:
    """The attacker puts a living session of their own into the victim's browser, and waits."""
    await gateway.set_up()
    await _organisation(gateway)
    attacker = await invite(gateway, "attacker@example.org", "acme", pb.ROLE_VIEWER)
    planted = attacker.cookies[COOKIE]
    victim = Browser(gateway.session, cookies={COOKIE: planted})
    if how == "sign-in":
        answer = await victim.sign_in()
    elif how == "setup":
        link = (await gateway.admin.CreateSetupLink(pb.CreateSetupLinkRequest())).url
        body = {"token": link.partition("=")[2], "email": BOB, "password": PASSWORD}
        answer = await victim("POST", "/admin/v1/setup:redeem", body)
    elif how == "invitation":
        body = {"token": await _invitation(gateway), "password": PASSWORD}
        answer = await victim("POST", "/admin/v1/invitations:accept", body)
    elif how == "reset":
        link = (await gateway.admin.ResetUser(pb.ResetUserRequest(user=EMAIL))).url
        body = {"token": link.partition("=")[2], "password": ANOTHER}
        answer = await victim("POST", "/admin/v1/reset:redeem", body)
    elif how == "provider":
        await configure(gateway, corp(provider, sign_up=ANYBODY))
        _, answer = await sign_in(gateway, provider, victim)
    else:
        # Somebody who knows the session's value, and its owner changes the password because of that.
        body = {"current": PASSWORD, "password": ANOTHER}
        answer = await victim("POST", "/admin/v1/me:password", body)
    assert answer.status in {200, 303}
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=Lax" in answer.headers["set-cookie"]
    assert victim.cookies[COOKIE] != planted
    assert (await victim("GET", "/admin/v1/me")).status == 200
    thief = Browser(gateway.session, cookies={COOKIE: planted})
    assert (await thief("GET", "/admin/v1/me")).status == 401


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["session", "token"])
async def test_a_lost_role_is_lost_at_once(gateway: Gateway, kind: str) -> None:
    """A session does not store the role: its old value acts with the new role."""
    found = await town(gateway)
    operator = found.browsers["operator"]
    value = operator.cookies[COOKIE]
    if kind == "token":
        value = (await operator("POST", "/admin/v1/me/tokens", {"name": "laptop"})).json["value"]
    stub = gateway.calling(value)
    new = pb.CreateKeyRequest(key=pb.Key(organisation="acme", name="x"))
    assert (await stub.CreateKey(new)).key.name == "x"
    member = pb.PutMemberRequest(organisation="acme", user="operator@acme.example", role=pb.ROLE_VIEWER)
    await found.stub("owner").PutMember(member)
    new.key.name = "y"
    assert await _code(stub.CreateKey(new)) is grpc.StatusCode.PERMISSION_DENIED
    leaving = pb.RemoveMemberRequest(organisation="acme", user="operator@acme.example")
    await found.stub("owner").RemoveMember(leaving)
    assert await _code(stub.ListKeys(pb.ListKeysRequest(organisation="acme"))) is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("metadata", [
    [("authorization", "Bearer {}"), ("authorization", "Bearer {}")],
    [("authorization", "Bearer x"), ("authorization", "Bearer {}")],
    [("authorization", "Bearer {}"), ("authorization", "Bearer x")],
    [("authorization", "Basic {}")], [("authorization", "{}")], [("authorization", "Bearer {} ")],
    [("authorization", "Bearer {},Bearer {}")], [("cookie", "trunkline_session={}")],
    [("authorization-bin", b"Bearer {}")], [("x-trunkline-session", "{}")],
], ids=str)  # fmt: skip
async def test_a_session_is_sent_once_and_in_one_way(gateway: Gateway, metadata: list[tuple[str, Any]]) -> None:
    value = (await gateway.set_up()).cookies[COOKIE]
    sent = [
        (name, each.replace(b"{}", value.encode()) if isinstance(each, bytes) else each.replace("{}", value))
        for name, each in metadata
    ]
    call = gateway.stub.ListKeys(pb.ListKeysRequest(), metadata=sent)
    assert await _code(call) is grpc.StatusCode.UNAUTHENTICATED


# Tokens.


@pytest.mark.slow
async def test_a_stolen_token_makes_no_lasting_access(gateway: Gateway) -> None:
    found = await town(gateway)
    value = (await found.browsers["admin"]("POST", "/admin/v1/me/tokens", {"name": "laptop"})).json["value"]
    thief = gateway.calling(value)
    viewer = "viewer@acme.example"
    owner = pb.InviteUserRequest(email="evil@example.org", organisation="acme", role=pb.ROLE_OWNER)
    for call in (
        thief.CreateSetupLink(pb.CreateSetupLinkRequest()),
        thief.ResetUser(pb.ResetUserRequest(user=EMAIL)),
        thief.InviteUser(pb.InviteUserRequest(email="evil@example.org", admin=True)),
        thief.InviteUser(owner),
        thief.UpdateUser(pb.UpdateUserRequest(user=viewer, admin=True)),
        thief.PutMember(pb.PutMemberRequest(organisation="acme", user=viewer, role=pb.ROLE_OWNER)),
    ):
        assert await _code(call) is grpc.StatusCode.PERMISSION_DENIED
    # What people's programs do every day goes on.
    invited = pb.InviteUserRequest(email="new@example.org", organisation="acme", role=pb.ROLE_OPERATOR)
    assert (await thief.InviteUser(invited)).url
    await thief.UpdateUser(pb.UpdateUserRequest(user=viewer, disabled=True))
    session = gateway.calling(found.browsers["admin"].cookies[COOKIE])
    assert (await session.InviteUser(owner)).url


async def test_a_new_password_withdraws_what_a_program_was_promised(gateway: Gateway) -> None:
    """An attacker has tricked the user into approving a device login, and has not polled yet."""
    browser = await gateway.set_up()
    begun = await gateway.stub.BeginDeviceLogin(pb.BeginDeviceLoginRequest())
    decision = {"user_code": begun.user_code, "approve": True}
    assert (await browser("POST", "/admin/v1/device:decide", decision)).status == 200
    body = {"current": PASSWORD, "password": ANOTHER}
    assert (await browser("POST", "/admin/v1/me:password", body)).status == 200
    poll = gateway.stub.PollDeviceLogin(pb.PollDeviceLoginRequest(device_code=begun.device_code))
    assert await _code(poll) is grpc.StatusCode.UNAUTHENTICATED


# Races.


@pytest.mark.parametrize("meanwhile", ["disabled", "another password"])
async def test_what_happens_while_a_password_is_checked_counts(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """Accepting an invitation must not restore the earlier state of the account."""
    await gateway.set_up()
    await _organisation(gateway)
    await invite(gateway, BOB, "", pb.ROLE_UNSPECIFIED)
    token = await _invitation(gateway)
    checked = gateway.service.check_password

    async def check(*arguments: Any) -> Any:
        user = await checked(*arguments)
        if meanwhile == "disabled":
            await gateway.admin.UpdateUser(pb.UpdateUserRequest(user=BOB, disabled=True))
        else:
            link = (await gateway.admin.ResetUser(pb.ResetUserRequest(user=BOB))).url.partition("=")[2]
            reset = {"token": link, "password": ANOTHER}
            assert (await gateway.browser()("POST", "/admin/v1/reset:redeem", reset)).status == 200
        return user

    monkeypatch.setattr(gateway.service, "check_password", check)
    accept = {"token": token, "password": PASSWORD}
    browser = gateway.browser()
    assert (await browser("POST", "/admin/v1/invitations:accept", accept)).status == 401
    assert (await browser("GET", "/admin/v1/me")).status == 401
    monkeypatch.undo()
    (user,) = [each for each in (await gateway.admin.ListUsers(pb.ListUsersRequest())).users if each.email == BOB]
    assert user.disabled == (meanwhile == "disabled")
    assert not user.memberships


@pytest.mark.slow
async def test_one_link_makes_one_account_however_many_use_it(gateway: Gateway) -> None:
    await _organisation(gateway)
    setup = (await gateway.admin.CreateSetupLink(pb.CreateSetupLinkRequest())).url.partition("=")[2]
    invitation = await _invitation(gateway)

    async def redeem(number: int) -> int:
        body = {"token": setup, "email": f"a{number}@example.org", "password": PASSWORD}
        return (await gateway.browser()("POST", "/admin/v1/setup:redeem", body)).status

    async def accept(_: int) -> int:
        body = {"token": invitation, "password": PASSWORD}
        return (await gateway.browser()("POST", "/admin/v1/invitations:accept", body)).status

    for attempt in (redeem, accept):
        statuses = await asyncio.gather(*map(attempt, range(6)))
        assert statuses.count(200) == 1
        assert set(statuses) <= {200, 401, 409}
    assert len((await gateway.admin.ListUsers(pb.ListUsersRequest())).users) == 2


@pytest.mark.slow
async def test_of_two_admins_who_remove_each_other_one_stays(gateway: Gateway) -> None:
    first = await gateway.set_up()
    await gateway.admin.InviteUser(pb.InviteUserRequest(email=BOB, admin=True))
    second = await invite(gateway, BOB, "", pb.ROLE_UNSPECIFIED)
    await gateway.admin.UpdateUser(pb.UpdateUserRequest(user=BOB, admin=True))
    answers = await asyncio.gather(
        first("PATCH", f"/admin/v1/users/{BOB}", {"admin": False}),
        second("DELETE", f"/admin/v1/users/{EMAIL}"),
    )
    assert sum(each.status == 200 for each in answers) == 1
    users = (await gateway.admin.ListUsers(pb.ListUsersRequest())).users
    assert sum(each.admin for each in users) == 1


# Identity providers.


@pytest.mark.slow
async def test_passwords_open_nothing_by_a_link_either(gateway: Gateway, provider: FakeProvider) -> None:
    await gateway.set_up()
    await _organisation(gateway)
    await invite(gateway, BOB, "", pb.ROLE_UNSPECIFIED)
    old, new = await _invitation(gateway), await _invitation(gateway, "new@example.org")
    reset = (await gateway.admin.ResetUser(pb.ResetUserRequest(user=BOB))).url.partition("=")[2]
    await configure(gateway, corp(provider), sso_only=True)
    for path, token in (("invitations:accept", old), ("invitations:accept", new), ("reset:redeem", reset)):
        browser = gateway.browser()
        answer = await browser("POST", f"/admin/v1/{path}", {"token": token, "password": PASSWORD})
        assert (answer.status, browser.cookies) == (401, {}), path
    # Through the provider, the invitation still holds.
    browser, _ = await sign_in(gateway, provider)
    assert [each["organisation"] for each in (await me(browser))["memberships"]] == ["acme"]


@pytest.mark.slow
async def test_another_identity_does_not_get_an_account_by_its_address(
    gateway: Gateway, provider: FakeProvider
) -> None:
    """A second provider claims an address of the first one's; or an address has a new owner at the same one."""
    await _organisation(gateway)
    async with identity_provider() as partner:
        await configure(gateway, corp(provider, sign_up=ANYBODY), corp(partner, "partner"))
        browser, _ = await sign_in(gateway, provider)
        user = await me(browser)
        stranger = gateway.browser()
        brought = partner.authorise(await begin(stranger, "partner"))
        answer = await come_back(stranger, brought, "partner")
        assert answer.headers["location"] == "/#sign-in-error=refused"
        provider.claims = {"sub": "sub-2"}
        _, answer = await sign_in(gateway, provider)
        assert answer.headers["location"] == "/#sign-in-error=refused"
        # After a move to another provider, the account is the same.
        await configure(gateway, corp(partner, "partner"))
        brought = partner.authorise(await begin(stranger, "partner"))
        assert (await come_back(stranger, brought, "partner")).headers["location"] == "/"
        assert (await me(stranger))["id"] == user["id"]


async def test_a_session_from_a_provider_becomes_no_password(gateway: Gateway, provider: FakeProvider) -> None:
    """The password would outlive the person's account at the provider."""
    await _organisation(gateway)
    await configure(gateway, corp(provider, sign_up=ANYBODY))
    browser, _ = await sign_in(gateway, provider)
    answer = await browser("POST", "/admin/v1/me:password", {"password": ANOTHER})
    assert (answer.status, answer.code) == (400, "failed_precondition")
    assert (await gateway.browser().sign_in(BOB, ANOTHER)).status == 401


async def test_a_link_for_a_password_does_not_survive_the_addresss_owner(
    gateway: Gateway, provider: FakeProvider
) -> None:
    await _organisation(gateway)
    await invite(gateway, BOB, "acme", pb.ROLE_MEMBER)
    reset = (await gateway.admin.ResetUser(pb.ResetUserRequest(user=BOB))).url.partition("=")[2]
    await configure(gateway, corp(provider))
    await sign_in(gateway, provider)
    answer = await gateway.browser()("POST", "/admin/v1/reset:redeem", {"token": reset, "password": ANOTHER})
    assert answer.status == 401


@pytest.mark.parametrize("email", [
    "b\u043eb@example.org", "bob@example.org\u200b", "b\u1d0fb@example.org", "bob@ex\u0430mple.org",
    "bob\uff20example.org", "b\u00f6b@example.org", "bob@example.org.", "bob@@example.org", "bob@example..org",
    '"bob"@example.org', "bob@example.org\n", "bob@[127.0.0.1]",
], ids=ascii)  # fmt: skip
async def test_no_second_account_looks_like_the_first(gateway: Gateway, email: str) -> None:
    browser = await gateway.set_up()
    answer = await browser("POST", "/admin/v1/users:invite", {"email": email, "admin": True})
    if email.strip() == BOB:  # blanks around an address are none of it
        assert answer.json["invitation"]["email"] == BOB
    else:
        assert (answer.status, answer.json["error"]["param"]) == (400, "email")


# Guessing, and load.


def test_a_client_is_its_address_or_its_provider_part_of_it() -> None:
    same = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "[2001:db8:1:2::3]", "2001:db8:1:2::4%eth0"]
    assert len({guesses.address(each) for each in same}) == 1
    assert guesses.address("2001:db8:1:3::1") != guesses.address(same[0])
    assert guesses.address("::ffff:192.0.2.1") == guesses.address("192.0.2.1") != guesses.address("192.0.2.2")
    assert guesses.network("unix") == "unix"


@pytest.fixture
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the waits so long that they do not end before a slow machine checks them."""
    monkeypatch.setattr(guesses, "ACCOUNT", guesses.AttemptBound(free=5, first=600, longest=900))
    monkeypatch.setattr(guesses, "ADDRESS", guesses.AttemptBound(free=3, first=600, longest=900))


@pytest.mark.usefixtures("long_waits")
async def test_who_may_not_try_any_more_locks_nobody_out(gateway: Gateway) -> None:
    await gateway.set_up()

    async def guess(email: str, number: int) -> int:
        guesser = gateway.browser(**{"x-trunkline-client-address": f"2001:db8::{number:x}"})
        return (await guesser.sign_in(email, "wrong password")).status

    # A customer of IPv6 has addresses without end, and they count as one.
    assert [await guess(f"user{each}@example.org", each) for each in range(4)] == [401] * 3 + [429]
    assert {await guess(EMAIL, 20 + each) for each in range(8)} == {429}
    assert (await gateway.browser(**{"x-trunkline-client-address": "192.0.2.2"}).sign_in()).status == 200


@pytest.mark.slow
async def test_nobody_without_an_account_makes_the_gateway_read_much(gateway: Gateway) -> None:
    """A body of many small objects would take fifty times its size in memory once parsed."""
    path = "/admin/v1/sign-in"
    large: dict[str, Any] = {"email": [{}] * MAX_ANYBODYS_BYTES, "password": ""}
    answer = await gateway.browser()("POST", path, large)
    assert (answer.status, answer.code) == (413, "request_too_large")
    strange: dict[str, Any] = {f"password{each}": each for each in range(1_500)}
    answer = await gateway.browser()("POST", path, strange)
    assert answer.status == 400
    assert len(answer.json["error"]["message"].splitlines()) == 21
    found = await town(gateway)
    large = {"key": {"organisation": "acme", "name": "x", "models": ["m" * 100] * (MAX_USERS_BYTES // 100)}}
    assert (await found.browsers["viewer"]("POST", "/admin/v1/keys", large)).status == 413
    assert (await found.browsers["admin"]("POST", "/admin/v1/keys", large)).status == 400


@pytest.mark.parametrize("who", ["nobody", "a stranger", "viewer", "owner"])
async def test_a_request_is_not_parsed_for_somebody_who_may_not_make_it(gateway: Gateway, who: str) -> None:
    """16 MiB hold eight million empty objects, each of which takes two hundred bytes once parsed."""
    found = await town(gateway)
    token = {"nobody": "", "a stranger": "tl-pat-of-nobody"}.get(who)
    if token is None:
        token = found.browsers[who].cookies[COOKIE]
    metadata = [("authorization", f"Bearer {token}")] if token else []
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        call = channel.unary_unary("/trunkline.admin.v1.Admin/Apply", bytes, bytes)
        broken = b"\x0a\xff"  # a parser would say INTERNAL
        code = await _code(call(broken, metadata=metadata))
    refused = grpc.StatusCode.PERMISSION_DENIED if who in found.browsers else grpc.StatusCode.UNAUTHENTICATED
    assert code is refused


async def test_a_member_sends_no_megabytes_over_grpc_either(gateway: Gateway) -> None:
    found = await town(gateway)
    request = pb.CreateKeyRequest(key=pb.Key(organisation="acme", name="x", models=["m" * 1_000] * 600))
    assert await _code(found.stub("member").CreateKey(request)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    signing = pb.CreateKeyRequest(key=pb.Key(organisation="acme", name="x"))
    assert (await found.stub("member").CreateKey(signing)).key.name == "x"
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        call = channel.unary_unary("/trunkline.admin.v1.Admin/SignIn", bytes, bytes)
        assert await _code(call(b"\x0a\xff")) is grpc.StatusCode.INVALID_ARGUMENT
        assert await _code(call(b" " * (MAX_ANYBODYS_BYTES + 1))) is grpc.StatusCode.RESOURCE_EXHAUSTED
