"""What users have made and nobody has used yet ends when their role no longer allows it: invitations, links that
set a password or set up an admin, and invitations of nodes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.xds_server.accounts.conftest import EMAIL, PASSWORD, Browser, Gateway
from tests.xds_server.accounts.people import Town, invite, town
from xds_server.accounts.errors import ForbiddenError
from xds_server.accounts.links import Link, Purpose
from xds_server.errors import JoinTokenError
from xds_server.store import AuditQuery
from xds_server.store.settings import Invitation
from xds_server.store.writing import account_links, join_tokens, nodes, personal_tokens, users

BOB = "bob@acme.example"
OWNER = "owner@acme.example"
SECOND = "second@example.org"


async def invited(browser: Browser, organisation: str = "acme", **more: Any) -> str:
    """Returns the value of an invitation for Bob."""
    body = {"email": BOB, **({"organisation": organisation} if organisation else {}), **more}
    answer = await browser("POST", "/admin/v1/users:invite", body)
    assert answer.status == 200, answer.json
    return str(answer.json["url"]).partition("#invite=")[2]


async def opens(gateway: Gateway, value: str) -> bool:
    """Returns whether a link of any purpose but setting up still opens something."""
    shown = await gateway.browser()("POST", "/admin/v1/links:show", {"token": value})
    assert shown.status in {200, 401}, shown.json
    return shown.status == 200


async def leave(found: Town, how: str, email: str = OWNER) -> None:
    admin = found.browsers["admin"]
    calls: dict[str, tuple[str, str, Any]] = {
        "demoted": ("PUT", f"/admin/v1/organisations/acme/members/{email}", {"role": "ROLE_OPERATOR"}),
        "not a member": ("DELETE", f"/admin/v1/organisations/acme/members/{email}", None),
        "disabled": ("PATCH", f"/admin/v1/users/{email}", {"disabled": True}),
        "removed": ("DELETE", f"/admin/v1/users/{email}", None),
    }
    answer = await admin(*calls[how])
    assert answer.status == 200, answer.json


@pytest.mark.parametrize("how", ["demoted", "not a member", "disabled", "removed"])
async def test_invitations_end_with_the_inviter_s_role(gateway: Gateway, how: str) -> None:
    found = await town(gateway)
    ended = [await invited(found.browsers["owner"]), await invited(found.browsers["owner"], role="ROLE_OWNER")]
    kept = [await invited(found.browsers["admin"]), await invited(found.browsers["neighbour"], "other")]
    await leave(found, how)
    assert [await opens(gateway, each) for each in ended + kept] == [False, False, True, True]
    accept = {"token": ended[0], "password": PASSWORD}
    assert (await gateway.browser()("POST", "/admin/v1/invitations:accept", accept)).status == 401
    listed = (await found.browsers["admin"]("GET", "/admin/v1/invitations?organisation=acme")).json["invitations"]
    assert len(listed) == 1
    events = gateway.store.audit_events(AuditQuery(object_type="invitation"))
    revoked = [(each.actor, each.object_name.partition("/")[0]) for each in events if each.action == "revoke"]
    assert revoked == [(f"user:{EMAIL}", BOB)] * 2


async def test_another_organisation_s_invitations_stay(gateway: Gateway) -> None:
    found = await town(gateway)
    admin, owner = found.browsers["admin"], found.browsers["owner"]
    put = await admin("PUT", f"/admin/v1/organisations/other/members/{OWNER}", {"role": "ROLE_OWNER"})
    assert put.status == 200
    values = [await invited(owner), await invited(owner, "other")]
    await leave(found, "not a member")
    assert [await opens(gateway, each) for each in values] == [False, True]


async def test_what_a_former_admin_has_made_ends(gateway: Gateway) -> None:
    """They stay the owner of an organisation, and so does their invitation to it."""
    found = await town(gateway)
    second = await invite(gateway, SECOND, "acme", pb.ROLE_OWNER)
    admin = found.browsers["admin"]
    assert (await admin("PATCH", f"/admin/v1/users/{SECOND}", {"admin": True})).status == 200
    ended = [await invited(second, "other"), await invited(second, ""), await invited(second, admin=True)]
    reset = await second("POST", f"/admin/v1/users/{OWNER}:reset", {})
    ended.append(reset.json["url"].partition("#reset=")[2])
    setup = (await second("POST", "/admin/v1/setup:link", {})).json["url"].partition("#setup=")[2]
    kept = await invited(second)
    assert all([await opens(gateway, each) for each in (*ended, kept)])
    assert (await admin("PATCH", f"/admin/v1/users/{SECOND}", {"admin": False})).status == 200
    assert [await opens(gateway, each) for each in (*ended, kept)] == [False, False, False, False, True]
    body = {"token": reset.json["url"].partition("#reset=")[2], "password": "another one, long"}
    assert (await gateway.browser()("POST", "/admin/v1/reset:redeem", body)).status == 401
    body = {"token": setup, "email": "thief@example.org", "password": PASSWORD}
    assert (await gateway.browser()("POST", "/admin/v1/setup:redeem", body)).status == 401


@pytest.mark.parametrize(
    ("role", "key", "how"),
    [
        ("owner", "", "removed"),
        ("owner", "", "disabled"),
        ("operator", "", "not a member"),
        ("operator", "ci", "removed"),
        ("member", "mine", "not a member"),
    ],
)
async def test_invitations_of_nodes_end_with_the_inviter_s_role(
    gateway: Gateway, role: str, key: str, how: str
) -> None:
    found = await town(gateway)
    body = {"organisation": "acme", "owner_key": key}
    values = [
        (await found.browsers[each]("POST", "/admin/v1/nodes:invite", body)).json["token"]
        for each in (role, "owner" if role != "owner" else "operator")
        if key != "mine" or each == "member"
    ]
    await leave(found, how, f"{role}@acme.example")
    with pytest.raises(JoinTokenError):
        gateway.store.write("test", partial(nodes.enrol, token=values[0], proposed_name="n", key_hash=b"n"))
    for value in values[1:]:  # another person's
        gateway.store.write("test", partial(nodes.enrol, token=value, proposed_name="n", key_hash=b"n"))
    events = gateway.store.audit_events(AuditQuery(object_type="join-token"))
    assert [each.action.value for each in events].count("delete") == 1


async def test_a_role_that_suffices_keeps_invitations(gateway: Gateway) -> None:
    found = await town(gateway)
    value = (await found.browsers["owner"]("POST", "/admin/v1/nodes:invite", {"organisation": "acme"})).json[
        "token"
    ]
    await leave(found, "demoted")  # an operator invites nodes, too
    assert gateway.store.write("test", lambda tx: nodes.enrol(tx, value, "n", b"n")).value


async def test_who_lost_the_role_during_the_call_makes_nothing(gateway: Gateway) -> None:
    """The caller is checked before the transaction, and their role inside it."""
    found = await town(gateway)
    await leave(found, "demoted")
    owner = gateway.store.read(lambda view: view.rows("SELECT id FROM user_account WHERE email = ?", OWNER))[0][0]
    acme = next(id_ for id_, each in gateway.store.load().organisations.items() if each.name == "acme")
    link = Link(Purpose.INVITE, email=BOB, organisation_id=acme, role="member", created_by=owner)
    with pytest.raises(ForbiddenError):
        gateway.store.write("test", lambda tx: account_links.create(tx, link, 60))
    for purpose in (Purpose.RESET, Purpose.SETUP):
        made = Link(purpose, user_id=owner, created_by=owner)
        with pytest.raises(ForbiddenError):
            gateway.store.write("test", partial(account_links.create, link=made, ttl_seconds=60))
    user = gateway.store.write("test", lambda tx: users.get(tx, owner)).value
    await leave(found, "disabled")
    with pytest.raises(ForbiddenError):
        gateway.store.write("test", lambda tx: personal_tokens.create(tx, user, "laptop", 60))
    with pytest.raises(ForbiddenError):
        gateway.store.write("test", lambda tx: personal_tokens.decide_device(tx, "XXXX-XXXX", user, approve=True))
    with pytest.raises(ForbiddenError):
        gateway.store.write("test", lambda tx: join_tokens.invite(
            tx, "acme", Invitation(), fingerprint="ab" * 32, created_by=owner
        ))  # fmt: skip


async def test_an_approval_ends_with_its_user(gateway: Gateway) -> None:
    """A program that was approved and has not fetched its token gets none."""
    found = await town(gateway)
    begun = (await gateway.browser()("POST", "/admin/v1/device:begin", {"client": "laptop"})).json
    decide = {"user_code": begun["user_code"], "approve": True}
    assert (await found.browsers["owner"]("POST", "/admin/v1/device:decide", decide)).status == 200
    await leave(found, "disabled")
    polled = await gateway.browser()("POST", "/admin/v1/device:poll", {"device_code": begun["device_code"]})
    assert polled.status == 401
