"""Personal tokens: shown once, with their user's role, and revocable; and the way in which a program gets one by a
link.
"""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.xds_server.accounts.conftest import Gateway
from tests.xds_server.accounts.people import town
from xds_server.store import AuditQuery


async def _code(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_a_token_has_its_users_role_and_nothing_more(gateway: Gateway) -> None:
    found = await town(gateway)
    made = (await found.browsers["viewer"]("POST", "/admin/v1/me/tokens", {"name": "laptop"})).json
    assert made["value"].startswith("tl-pat-")
    assert int(made["token"]["expires_at"]) - time.time() == pytest.approx(90 * 86_400, abs=300)
    stub = gateway.calling(made["value"])
    assert len((await stub.ListKeys(pb.ListKeysRequest())).keys) == 2
    new = pb.CreateKeyRequest(key=pb.Key(organisation="acme", name="x"))
    assert await _code(stub.CreateKey(new)) is grpc.StatusCode.PERMISSION_DENIED
    owner = found.stub("owner")
    await owner.PutMember(
        pb.PutMemberRequest(organisation="acme", user="viewer@acme.example", role=pb.ROLE_OPERATOR)
    )
    assert (await stub.CreateKey(new)).key.name == "x"
    (event,) = gateway.store.audit_events(AuditQuery(object_type="key", object_name="acme/x"))
    assert event.actor == "user:viewer@acme.example"


async def test_a_token_makes_no_other_and_changes_no_password(gateway: Gateway) -> None:
    """A leaked token ends with its expiry."""
    browser = await gateway.set_up()
    value = (await browser("POST", "/admin/v1/me/tokens", {"name": "laptop"})).json["value"]
    stub = gateway.calling(value)
    begun = await gateway.stub.BeginDeviceLogin(pb.BeginDeviceLoginRequest())
    for call in (
        stub.CreateToken(pb.CreateTokenRequest(name="second")),
        stub.ChangePassword(pb.ChangePasswordRequest(password="another one, long")),
        stub.DecideDeviceLogin(pb.DecideDeviceLoginRequest(user_code=begun.user_code, approve=True)),
    ):
        assert await _code(call) is grpc.StatusCode.UNAUTHENTICATED


async def test_tokens_are_listed_and_revoked_by_their_user(gateway: Gateway) -> None:
    found = await town(gateway)
    member, viewer = found.browsers["member"], found.browsers["viewer"]
    made = (await member("POST", "/admin/v1/me/tokens", {"name": "laptop"})).json
    assert (await member("POST", "/admin/v1/me/tokens", {"name": "laptop"})).status == 409
    listed = await member("GET", "/admin/v1/me/tokens")
    assert [each["id"] for each in listed.json["tokens"]] == [made["token"]["id"]]
    assert made["value"] not in str(listed.json)
    assert (await viewer("GET", "/admin/v1/me/tokens")).json == {}
    path = f"/admin/v1/me/tokens/{made['token']['id']}"
    assert (await viewer("DELETE", path)).status == 404
    assert (await member("DELETE", path)).status == 200
    assert await _code(gateway.calling(made["value"]).GetMe(pb.GetMeRequest())) is grpc.StatusCode.UNAUTHENTICATED
    text = str(gateway.store.read(lambda view: view.rows("SELECT * FROM audit_event")))
    assert made["value"] not in text


async def test_a_token_expires(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await gateway.set_up()
    made = (await browser("POST", "/admin/v1/me/tokens", {"name": "x", "ttl_seconds": 60})).json
    assert (await gateway.calling(made["value"]).GetMe(pb.GetMeRequest())).expires_at > time.time()
    later = time.time() + 61
    monkeypatch.setattr("xds_server.admin.authenticate.time.time", lambda: later)
    assert await _code(gateway.calling(made["value"]).GetMe(pb.GetMeRequest())) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_program_gets_a_token_that_somebody_approved(gateway: Gateway) -> None:
    found = await town(gateway)
    begun = await gateway.stub.BeginDeviceLogin(pb.BeginDeviceLoginRequest(client="trunkline login on laptop"))
    assert begun.url == f"http://gateway.example:8081/#device={begun.user_code}"
    poll = pb.PollDeviceLoginRequest(device_code=begun.device_code)
    assert (await gateway.stub.PollDeviceLogin(poll)) == pb.PollDeviceLoginResponse(pending=True)
    member = found.browsers["member"]
    code = {"user_code": begun.user_code.lower()}
    assert (await member("POST", "/admin/v1/device:show", code)).json["client"] == "trunkline login on laptop"
    assert (await member("POST", "/admin/v1/device:decide", {**code, "approve": True})).status == 200
    # A decision is final.
    viewer = found.browsers["viewer"]
    assert (await viewer("POST", "/admin/v1/device:decide", {**code, "approve": True})).status == 404
    answer = await gateway.stub.PollDeviceLogin(poll)
    assert answer.email == "member@acme.example"
    assert (await gateway.calling(answer.value).GetMe(pb.GetMeRequest())).user.email == "member@acme.example"
    assert await _code(gateway.stub.PollDeviceLogin(poll)) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_program_that_is_refused_gets_nothing(gateway: Gateway) -> None:
    browser = await gateway.set_up()
    begun = await gateway.stub.BeginDeviceLogin(pb.BeginDeviceLoginRequest())
    assert (await browser("POST", "/admin/v1/device:decide", {"user_code": begun.user_code})).status == 200
    poll = pb.PollDeviceLoginRequest(device_code=begun.device_code)
    assert await _code(gateway.stub.PollDeviceLogin(poll)) is grpc.StatusCode.UNAUTHENTICATED
    # The code that people see opens nothing.
    again = await gateway.stub.BeginDeviceLogin(pb.BeginDeviceLoginRequest())
    poll = pb.PollDeviceLoginRequest(device_code=again.user_code)
    assert await _code(gateway.stub.PollDeviceLogin(poll)) is grpc.StatusCode.UNAUTHENTICATED


async def test_only_so_many_programs_wait(gateway: Gateway) -> None:
    for _ in range(30):
        await gateway.stub.BeginDeviceLogin(pb.BeginDeviceLoginRequest())
    begin = gateway.stub.BeginDeviceLogin(pb.BeginDeviceLoginRequest())
    assert await _code(begin) is grpc.StatusCode.FAILED_PRECONDITION
