"""Every method as every role: the permitted ones succeed, the others are refused and change nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb, console_pb2
from trunkline_proto.policy.v1 import policy_pb2

from tests.xds_server.accounts.conftest import Gateway, serving
from tests.xds_server.accounts.people import Town, town
from tests.xds_server.store.databases import new_sqlite
from xds_server.accounts.permissions import RequiredRole, rule_of
from xds_server.store import AuditQuery, Store

PEOPLE = ("nobody", "viewer", "member", "operator", "owner", "neighbour", "admin", "machine")
EVERYBODY = frozenset(PEOPLE)
SIGNED_IN = EVERYBODY - {"nobody"}
MACHINES = frozenset({"admin", "machine"})
MANAGING = MACHINES | {"owner"}
OPERATING = MANAGING | {"operator"}
#: Roles that may read objects of `acme` other than the member's own.
READING = OPERATING | {"viewer", "member"}

#: The roles that may make the request of `_request`, written independently of the table under test.
ALLOWED: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("GetSignInOptions", "RedeemSetupLink", "SignIn", "ShowLink", "AcceptInvitation", "RedeemReset",
         "BeginDeviceLogin", "PollDeviceLogin", "BeginOidc", "FinishOidc"),
        EVERYBODY,
    ),
    **dict.fromkeys(
        ("SignOut", "GetMe", "ChangePassword", "ListTokens", "CreateToken", "RevokeToken", "ShowDeviceLogin",
         "DecideDeviceLogin", "ListOrganisations", "ListRoutes", "GetRequest"),
        SIGNED_IN,
    ),
    **dict.fromkeys(
        ("ListKeys", "ListNodes", "ReportContributions", "ReportUsage", "TopRequests", "CompareTargets",
         "ExportUsage", "SearchRequests", "ListRequests", "ExplainRoute"),
        READING,
    ),
    "CreateKey": OPERATING | {"member"},
    "CancelRequest": OPERATING | {"member", "neighbour"},
    **dict.fromkeys(("UpdateKey", "RotateKey", "RevokeKey", "UpdateNode", "RemoveNode", "InviteNode"), OPERATING),
    **dict.fromkeys(
        ("ListUsers", "InviteUser", "ListInvitations", "PutMember", "RemoveMember", "ListAuditEvents"), MANAGING
    ),
    "RevokeInvitation": MANAGING | {"neighbour"},
}  # fmt: skip
VIEWS = console_pb2.DESCRIPTOR.services_by_name["Console"].methods
METHODS = pb.DESCRIPTOR.services_by_name["Admin"].methods
_REFUSED = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """Runs the gateway only on SQLite: both databases share the same rule."""
    store = Store.open(new_sqlite(tmp_path / "trunkline.db"), key_file=tmp_path / "secret.key")
    async for each in serving(store, tmp_path):
        yield each
    store.close()


def _request(method: Any, found: Town) -> Any:
    """Returns a request about the objects that all of `acme` share."""
    values = {
        "organisation": "acme", "filter.organisation": "acme", "key.organisation": "acme", "key.name": "new",
        "node_id": found.nodes["shared"], "user": "viewer@acme.example", "email": "new@acme.example",
        "name": "name", "model": "gpt-4.1",
    }  # fmt: skip
    message = getattr(pb, method.input_type.name)()
    if method.name in {"UpdateKey", "RotateKey", "RevokeKey"}:
        message.id = found.keys["shared"]
    elif method.name in {"GetRequest", "CancelRequest"}:
        message.id = "a-request-that-nobody-made"
    for path, value in values.items():
        *inner, name = path.split(".")
        at = message
        for each in inner:
            field = at.DESCRIPTOR.fields_by_name.get(each)
            at = getattr(at, each) if field is not None and field.message_type is not None else None
            if at is None:
                break
        field = at.DESCRIPTOR.fields_by_name.get(name) if at is not None else None
        if field is not None and field.type == field.TYPE_STRING:
            setattr(at, name, value)
    if method.name == "PutMember":
        message.role = pb.ROLE_VIEWER
    return message


async def _answer(stub: Any, method: Any, request: Any) -> grpc.StatusCode:
    call = getattr(stub, method.name)(request)
    try:
        if method.server_streaming:
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_every_method_is_tried() -> None:
    gone = set(ALLOWED) - {each.name for each in METHODS}
    assert not gone


@pytest.mark.slow
@pytest.mark.parametrize("person", PEOPLE)
async def test_each_method_as(person: str, gateway: Gateway) -> None:
    found = await town(gateway)
    for method in METHODS:
        allowed = person in ALLOWED.get(method.name, MACHINES)
        if allowed:
            continue
        before, events = gateway.store.load().revision, len(gateway.store.audit_events(AuditQuery(limit=1_000)))
        code = await _answer(found.stub(person), method, _request(method, found))
        if person == "nobody":
            assert code is grpc.StatusCode.UNAUTHENTICATED, method.name
        else:
            assert code in {*_REFUSED, grpc.StatusCode.NOT_FOUND}, method.name
        assert gateway.store.load().revision == before, method.name
        assert len(gateway.store.audit_events(AuditQuery(limit=1_000))) == events, method.name
    # These calls come last, because they end sessions, keys and organisations.
    last = ("RemoveMember", "RevokeKey", "RemoveNode", "RemoveUser", "DeleteOrganisation", "SignOut")
    for method in sorted(METHODS, key=lambda each: last.index(each.name) if each.name in last else -1):
        if person in ALLOWED.get(method.name, MACHINES):
            code = await _answer(found.stub(person), method, _request(method, found))
            # The values may be refused nevertheless: an invalid link, or a token in place of a session.
            refused = code in _REFUSED and method.name not in {
                "RedeemSetupLink", "SignIn", "ShowLink", "AcceptInvitation", "RedeemReset", "PollDeviceLogin",
                "ChangePassword", "ListTokens", "CreateToken", "RevokeToken", "ShowDeviceLogin",
                "DecideDeviceLogin", "FinishOidc",
            }  # fmt: skip
            assert not refused, (method.name, code)
            assert code not in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}, (method.name, code)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["key", "node"])
async def test_another_organisations_objects_are_as_if_they_did_not_exist(gateway: Gateway, what: str) -> None:
    found = await town(gateway)
    owner = found.stub("owner")
    calls: dict[str, list[Callable[[str], Awaitable[object]]]] = {
        "key": [
            lambda ref: owner.UpdateKey(pb.UpdateKeyRequest(id=ref, name="x")),
            lambda ref: owner.RotateKey(pb.RotateKeyRequest(id=ref)),
            lambda ref: owner.RevokeKey(pb.RevokeKeyRequest(id=ref)),
        ],
        "node": [
            lambda ref: owner.UpdateNode(pb.UpdateNodeRequest(node_id=ref, drained=True)),
            lambda ref: owner.RemoveNode(pb.RemoveNodeRequest(node_id=ref)),
        ],
    }
    foreign = found.keys["foreign"] if what == "key" else found.nodes["foreign"]
    for call in calls[what]:
        for reference in (foreign, "other/ci", "other/node-foreign", "node-foreign", "no-such-thing"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(reference)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            assert caught.value.details() == f'no {what} "{reference}" that you may change'
    # A name that exists in both organisations refers to the caller's own.
    if what == "key":
        assert (await owner.RevokeKey(pb.RevokeKeyRequest(id="ci"))).key.id == found.keys["shared"]
        assert found.keys["foreign"] in gateway.store.load().keys


@pytest.mark.parametrize("role", ["viewer", "member", "operator", "owner"])
async def test_what_each_role_sees(gateway: Gateway, role: str) -> None:
    found = await town(gateway)
    stub = found.stub(role)
    keys = {each.id: each for each in (await stub.ListKeys(pb.ListKeysRequest())).keys}
    nodes = {each.id for each in (await stub.ListNodes(pb.ListNodesRequest())).nodes}
    own = {"own"} if role == "member" else {"own", "shared"}
    assert set(keys) == {found.keys[each] for each in own}
    assert nodes == {found.nodes[each] for each in own}
    assert keys[found.keys["own"]].owner == "member@acme.example"
    organisations = (await stub.ListOrganisations(pb.ListOrganisationsRequest())).organisations
    assert [each.name for each in organisations] == ["acme"]
    for request, method in ((pb.ListKeysRequest(organisation="other"), "ListKeys"),
                            (pb.ListNodesRequest(organisation="other"), "ListNodes"),
                            (pb.ExplainRouteRequest(model="m", organisation="other"),
                             "ExplainRoute")):  # fmt: skip
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(stub, method)(request)
        assert caught.value.details() == 'organisation: no organisation "other"'


@pytest.mark.slow
async def test_a_member_does_as_they_like_with_their_own_and_nothing_else(gateway: Gateway) -> None:
    found = await town(gateway)
    member, operator = found.stub("member"), found.stub("operator")
    own = found.keys["own"]
    assert (await member.UpdateKey(pb.UpdateKeyRequest(id="mine", name="laptop"))).key.name == "laptop"
    assert (await member.RotateKey(pb.RotateKeyRequest(id=own))).value.startswith("sk-tl-")
    limit = pb.Key(limits=[policy_pb2.Limit(metric=policy_pb2.METRIC_REQUESTS, per_seconds=60, amount=5)]).limits
    await operator.UpdateKey(pb.UpdateKeyRequest(id=own, limits=limit))
    for change in (
        {"clear_limits": True}, {"limits": limit}, {"max_price": 5}, {"priority": 1}, {"models": ["*"]},
    ):  # fmt: skip
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await member.UpdateKey(pb.UpdateKeyRequest(id=own, **change))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, change
    for key, value in (
        ({"limits": limit}, ""), ({"priority": 1}, ""), ({"max_price": 5}, ""), ({}, "a-value-of-my-own-choosing"),
        ({"pins_targets": True}, ""),
    ):  # fmt: skip
        wanted = pb.Key(organisation="acme", name="second", **key)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await member.CreateKey(pb.CreateKeyRequest(key=wanted, value=value))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, (key, value)
    node = found.nodes["own"]
    assert (await member.UpdateNode(pb.UpdateNodeRequest(node_id=node, drained=True))).node.drained
    for change in ({"approved": False}, {"boost_percent": 200}):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await member.UpdateNode(pb.UpdateNodeRequest(node_id=node, **change))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, change
    invited = await member.InviteNode(pb.InviteNodeRequest(organisation="acme", owner_key="laptop"))
    assert invited.token
    for owner_key in ("", "ci"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await member.InviteNode(pb.InviteNodeRequest(organisation="acme", owner_key=owner_key))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, owner_key


async def test_only_an_admin_makes_a_key_that_chooses_targets(gateway: Gateway) -> None:
    found = await town(gateway)
    wanted = pb.Key(organisation="acme", name="trial", pins_targets=True, expires_at=int(time.time()) + 3_600)
    for role in ("member", "operator", "owner"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await found.stub(role).CreateKey(pb.CreateKeyRequest(key=wanted))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, role
    made = await gateway.admin.CreateKey(pb.CreateKeyRequest(key=wanted))
    assert made.key.pins_targets
    longer = pb.UpdateKeyRequest(id=made.key.id, expires_at=int(time.time()) + 2 * 86_400)
    for stub in (found.stub("owner"), gateway.admin):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.UpdateKey(longer)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for expires_at in (0, longer.expires_at):
        wanted.name, wanted.expires_at = "another", expires_at
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.admin.CreateKey(pb.CreateKeyRequest(key=wanted))
        assert str(caught.value.details()).startswith("key.expires_at: a key with `pins_targets` lasts a day")


@pytest.mark.slow
async def test_an_owner_decides_about_their_own_organisation_alone(gateway: Gateway) -> None:
    found = await town(gateway)
    owner = found.stub("owner")
    listed = (await owner.ListUsers(pb.ListUsersRequest())).users
    assert [each.email.partition("@")[0] for each in listed] == ["member", "operator", "owner", "viewer"]
    for request in (
        pb.InviteUserRequest(email="x@x.example", organisation="acme", admin=True),
        pb.InviteUserRequest(email="x@x.example"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await owner.InviteUser(request)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    for user in ("neighbour@other.example", "alice@example.org", "nobody@nowhere.example"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await owner.PutMember(pb.PutMemberRequest(organisation="acme", user=user, role=pb.ROLE_OWNER))
        assert caught.value.details() == f'no member "{user}" of acme: other users join by invitation'
    changed = await owner.PutMember(
        pb.PutMemberRequest(organisation="acme", user="viewer@acme.example", role=pb.ROLE_OPERATOR)
    )
    assert changed.user.memberships[0].role == pb.ROLE_OPERATOR
    # This takes effect at once, also for open sessions.
    assert (await found.stub("viewer").RevokeKey(pb.RevokeKeyRequest(id=found.keys["shared"]))).key.revoked_at
    removed = await owner.RemoveMember(pb.RemoveMemberRequest(organisation="acme", user="member@acme.example"))
    assert removed.revoked_keys == 1
    assert found.keys["own"] not in gateway.store.load().keys
    with pytest.raises(grpc.aio.AioRpcError):
        await found.stub("member").ListKeys(pb.ListKeysRequest())


@pytest.mark.parametrize("person", ["nobody", "viewer", "member", "operator", "owner", "neighbour"])
async def test_each_view_of_the_console_as(person: str, gateway: Gateway) -> None:
    """Views combine other calls, and show no more than those."""
    found = await town(gateway)
    metadata = []
    if person != "nobody":
        metadata = [("authorization", f"Bearer {found.browsers[person].cookies['trunkline_session']}")]
    foreign = "acme" if person == "neighbour" else "other"
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        for method in VIEWS:
            call = channel.unary_unary(
                f"/{method.containing_service.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=getattr(console_pb2, method.output_type.name).FromString,
            )
            request = getattr(console_pb2, method.input_type.name)()
            if method.name == "GetUsageView":
                request.filter.since = 1
                request.by.append(pb.DIMENSION_KEY)
            is_open = rule_of(method.name).need is RequiredRole.ANYBODY
            if person == "nobody" and not is_open:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(request)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED, method.name
                continue
            done = call(request, metadata=metadata)
            code = await done.code()
            if code is grpc.StatusCode.PERMISSION_DENIED:
                continue
            assert code is grpc.StatusCode.OK, method.name
            shown = str(await done)
            assert f'"{foreign}"' not in shown, method.name
            assert f"{foreign}/" not in shown, method.name
