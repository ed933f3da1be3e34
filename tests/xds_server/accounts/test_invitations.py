"""Invitations, new passwords, and the removal of people."""

from __future__ import annotations

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.xds_server.accounts.conftest import EMAIL, PASSWORD, Gateway
from tests.xds_server.accounts.people import invite, town
from xds_server.store import AuditQuery

BOB = "bob@acme.example"


async def _organisations(gateway: Gateway, *names: str) -> None:
    for name in names:
        await gateway.admin.PutOrganisation(pb.PutOrganisationRequest(organisation=pb.Organisation(name=name)))


async def test_an_invitation_is_for_one_person_once(gateway: Gateway) -> None:
    await _organisations(gateway, "acme")
    browser = await gateway.set_up()
    body = {"email": "Bob@ACME.example", "organisation": "acme", "role": "ROLE_OPERATOR"}
    made = (await browser("POST", "/admin/v1/users:invite", body)).json
    token = made["url"].partition("#invite=")[2]
    assert made["invitation"]["email"] == BOB
    (listed,) = (await browser("GET", "/admin/v1/invitations")).json["invitations"]
    assert listed == made["invitation"]
    assert token not in str(listed)
    newcomer = gateway.browser()
    shown = (await newcomer("POST", "/admin/v1/links:show", {"token": token})).json
    assert (shown["email"], shown["organisation"], shown["role"]) == (BOB, "acme", "ROLE_OPERATOR")
    accept = {"token": token, "name": "Bob", "password": PASSWORD}
    answer = await newcomer("POST", "/admin/v1/invitations:accept", accept)
    assert answer.json["user"]["memberships"] == [{"organisation": "acme", "role": "ROLE_OPERATOR"}]
    assert (await newcomer("GET", "/admin/v1/me")).json["user"]["email"] == BOB
    assert (await gateway.browser()("POST", "/admin/v1/invitations:accept", accept)).status == 401
    assert (await gateway.browser()("POST", "/admin/v1/links:show", {"token": token})).status == 401
    assert (await browser("GET", "/admin/v1/invitations")).json == {}
    actions = [(each.actor, each.action, each.object_type) for each in gateway.store.audit_events(AuditQuery())]
    assert actions[:3] == [
        (f"user:{BOB}", "create", "member"), (f"user:{BOB}", "create", "user"),
        (f"user:{EMAIL}", "create", "invitation"),
    ]  # fmt: skip


async def test_an_invitation_can_be_withdrawn(gateway: Gateway) -> None:
    await _organisations(gateway, "acme")
    browser = await gateway.set_up()
    made = (await browser("POST", "/admin/v1/users:invite", {"email": BOB, "organisation": "acme"})).json
    id_ = made["invitation"]["id"]
    assert (await browser("DELETE", f"/admin/v1/invitations/{id_}")).status == 200
    assert (await browser("DELETE", f"/admin/v1/invitations/{id_}")).status == 404
    accept = {"token": made["url"].partition("#invite=")[2], "password": PASSWORD}
    assert (await gateway.browser()("POST", "/admin/v1/invitations:accept", accept)).status == 401


async def test_who_has_an_account_joins_with_their_own_password(gateway: Gateway) -> None:
    await _organisations(gateway, "acme", "other")
    await invite(gateway, BOB, "acme", pb.ROLE_OWNER)
    made = await gateway.admin.InviteUser(
        pb.InviteUserRequest(email=BOB, organisation="other", role=pb.ROLE_VIEWER)
    )
    token = made.url.partition("#invite=")[2]
    guessed = {"token": token, "password": "a password of the inviter's"}
    assert (await gateway.browser()("POST", "/admin/v1/invitations:accept", guessed)).status == 401
    answer = await gateway.browser()(
        "POST", "/admin/v1/invitations:accept", {"token": token, "password": PASSWORD}
    )
    assert [each["role"] for each in answer.json["user"]["memberships"]] == ["ROLE_OWNER", "ROLE_VIEWER"]
    # A lower role does not replace a higher one.
    made = await gateway.admin.InviteUser(
        pb.InviteUserRequest(email=BOB, organisation="acme", role=pb.ROLE_VIEWER)
    )
    body = {"token": made.url.partition("#invite=")[2], "password": PASSWORD}
    answer = await gateway.browser()("POST", "/admin/v1/invitations:accept", body)
    assert answer.json["user"]["memberships"][0]["role"] == "ROLE_OWNER"


async def test_a_new_password_by_link_ends_sessions(gateway: Gateway) -> None:
    await _organisations(gateway, "acme")
    bob = await invite(gateway, BOB, "acme", pb.ROLE_MEMBER)
    first = (await gateway.admin.ResetUser(pb.ResetUserRequest(user=BOB))).url.partition("#reset=")[2]
    second = (await gateway.admin.ResetUser(pb.ResetUserRequest(user=BOB))).url.partition("#reset=")[2]
    for token, status in ((first, 401), (second, 200), (second, 401)):
        body = {"token": token, "password": "another one, long"}
        assert (await gateway.browser()("POST", "/admin/v1/reset:redeem", body)).status == status
    assert (await bob("GET", "/admin/v1/me")).status == 401
    assert (await gateway.browser().sign_in(BOB)).status == 401
    assert (await gateway.browser().sign_in(BOB, "another one, long")).status == 200
    # Links of one kind open nothing of another.
    reset = (await gateway.admin.ResetUser(pb.ResetUserRequest(user=BOB))).url.partition("#reset=")[2]
    for path in ("/admin/v1/setup:redeem", "/admin/v1/invitations:accept"):
        body = {"token": reset, "password": PASSWORD, **({"email": EMAIL} if "setup" in path else {})}
        assert (await gateway.browser()("POST", path, body)).status == 401


@pytest.mark.parametrize("how", ["disable", "remove"])
async def test_who_leaves_takes_everything_along(gateway: Gateway, how: str) -> None:
    found = await town(gateway)
    member = found.browsers["member"]
    token = (await member("POST", "/admin/v1/me/tokens", {"name": "laptop"})).json["value"]
    assert (await gateway.calling(token).GetMe(pb.GetMeRequest())).user.email == "member@acme.example"
    admin = found.browsers["admin"]
    if how == "disable":
        assert (await admin("PATCH", "/admin/v1/users/member@acme.example", {"disabled": True})).status == 200
    else:
        assert (await admin("DELETE", "/admin/v1/users/member%40acme.example")).json == {"revoked_keys": 1}
    assert (await member("GET", "/admin/v1/me")).status == 401
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.calling(token).GetMe(pb.GetMeRequest())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert found.keys["own"] not in gateway.store.load().keys
    wrong = await gateway.browser().sign_in("member@acme.example")
    assert (wrong.status, wrong.json["error"]["message"]) == (401, "the e-mail address or the password is wrong")
    if how == "disable":
        await admin("PATCH", "/admin/v1/users/member@acme.example", {"disabled": False})
        assert (await gateway.browser().sign_in("member@acme.example")).status == 200


async def test_the_only_admin_stays(gateway: Gateway) -> None:
    browser = await gateway.set_up()
    for method, path, body in (
        ("PATCH", f"/admin/v1/users/{EMAIL}", {"admin": False}),
        ("PATCH", f"/admin/v1/users/{EMAIL}", {"disabled": True}),
        ("DELETE", f"/admin/v1/users/{EMAIL}", None),
    ):
        answer = await browser(method, path, body)
        assert (answer.status, answer.code) == (400, "failed_precondition")
    await invite(gateway, BOB, "", pb.ROLE_UNSPECIFIED)
    assert (await browser("PATCH", f"/admin/v1/users/{BOB}", {"admin": True})).status == 200
    assert (await browser("DELETE", f"/admin/v1/users/{EMAIL}")).status == 200
    assert (await browser("GET", "/admin/v1/me")).status == 401
