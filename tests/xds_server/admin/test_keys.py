"""Keys can be changed and get new secrets without losing their identity."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2

from tests.xds_server.admin.conftest import Admin
from tests.xds_server.store.writing.joining import enrol, invite, join
from xds_server.model import Visibility
from xds_server.store.api_keys import hash_of
from xds_server.store.settings import Invitation

LIMIT = policy_pb2.Limit(metric=policy_pb2.METRIC_CONCURRENCY, amount=2)
FAR = 4_000_000_000


@pytest.fixture
async def made(admin: Admin) -> pb.CreateKeyResponse:
    admin.store.bootstrap()
    key = pb.Key(organisation="default", name="ci", models=["gpt-*"], limits=[LIMIT], expires_at=FAR)
    response: pb.CreateKeyResponse = await admin.stub.CreateKey(pb.CreateKeyRequest(key=key))
    return response


async def rotate(admin: Admin, reference: str = "default/ci", **fields: Any) -> pb.RotateKeyResponse:
    response: pb.RotateKeyResponse = await admin.stub.RotateKey(pb.RotateKeyRequest(id=reference, **fields))
    return response


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), str(caught.value.details())


def stored(admin: Admin) -> Any:
    (found,) = [each for each in admin.store.load().keys.values() if each.name == "ci"]
    return found


async def test_a_rotation_changes_the_secret_and_nothing_else(admin: Admin, made: pb.CreateKeyResponse) -> None:
    rotated = await rotate(admin)
    assert rotated.value.startswith(f"sk-tl-{made.key.id}-")
    assert rotated.value != made.value
    assert abs(rotated.key.former_until - time.time() - 86_400) < 60
    expected = pb.Key()
    expected.CopyFrom(made.key)
    expected.version, expected.former_until = rotated.key.version, rotated.key.former_until
    assert rotated.key == expected
    key = stored(admin)
    assert (key.hash, key.former_hash) == (hash_of(rotated.value), hash_of(made.value))
    listed = await admin.stub.ListKeys(pb.ListKeysRequest(organisation="default"))
    assert [each.former_until for each in listed.keys if each.name == "ci"] == [rotated.key.former_until]
    assert rotated.value.rsplit("-", 1)[1] not in str(listed)
    event = (await admin.stub.ListAuditEvents(pb.ListAuditEventsRequest(page_size=1))).events[0]
    assert (event.action, event.object_type, event.object_name) == ("rotate", "key", "default/ci")
    assert json.loads(event.after)["former_until"] == rotated.key.former_until
    for secret in (made.value, rotated.value, hash_of(made.value).hex(), hash_of(rotated.value).hex()):
        assert secret not in str(event)


async def test_at_most_two_secrets_work(admin: Admin, made: pb.CreateKeyResponse) -> None:
    second = await rotate(admin, grace_seconds=1_000)
    code, message = await refused(rotate(admin))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert message.startswith('key "default/ci" was rotated, and two secrets of it work until ')
    assert stored(admin).hash == hash_of(second.value)

    # The answer was lost, so clients still have the first secret.
    third = await rotate(admin, ends=pb.RotateKeyRequest.ENDS_NEWEST)
    key = stored(admin)
    assert (key.hash, key.former_hash) == (hash_of(third.value), hash_of(made.value))
    assert key.former_until == second.key.former_until

    fourth = await rotate(admin, ends=pb.RotateKeyRequest.ENDS_FORMER)
    key = stored(admin)
    assert (key.hash, key.former_hash) == (hash_of(fourth.value), hash_of(third.value))
    assert key.former_until > second.key.former_until

    fifth = await rotate(admin, grace_seconds=0)
    key = stored(admin)
    assert (key.hash, fifth.key.former_until) == (hash_of(fifth.value), 0)
    assert key.former_until <= time.time()
    code, message = await refused(rotate(admin, ends=pb.RotateKeyRequest.ENDS_NEWEST))
    assert (code, "only its newest secret works" in message) == (grpc.StatusCode.FAILED_PRECONDITION, True)


async def test_of_two_rotations_at_once_one_is_refused(admin: Admin, made: pb.CreateKeyResponse) -> None:
    outcomes = await asyncio.gather(
        *(rotate(admin, version=made.key.version) for _ in range(2)),
        *(rotate(admin) for _ in range(2)),
        return_exceptions=True,
    )
    (succeeded,) = [each for each in outcomes if isinstance(each, pb.RotateKeyResponse)]
    key = stored(admin)
    assert (key.hash, key.former_hash) == (hash_of(succeeded.value), hash_of(made.value))


async def test_a_replaced_value_never_becomes_a_keys_again(admin: Admin, made: pb.CreateKeyResponse) -> None:
    await rotate(admin, grace_seconds=0)
    await rotate(admin, grace_seconds=0)
    code, message = await refused(rotate(admin, grace_seconds=0, value=made.value))
    assert (code, made.value in message) == (grpc.StatusCode.ALREADY_EXISTS, False)
    other = pb.CreateKeyRequest(key=pb.Key(organisation="default", name="other"), value=made.value)
    assert (await refused(admin.stub.CreateKey(other)))[0] is grpc.StatusCode.ALREADY_EXISTS
    await admin.stub.RevokeKey(pb.RevokeKeyRequest(id="default/ci"))
    await admin.stub.CreateKey(other)


async def test_what_an_update_changes(admin: Admin, made: pb.CreateKeyResponse) -> None:
    rotated = await rotate(admin)

    async def update(**fields: Any) -> pb.Key:
        response = await admin.stub.UpdateKey(pb.UpdateKeyRequest(id=made.key.id, **fields))
        key: pb.Key = response.key
        return key

    assert (await update(name="nightly")).name == "nightly"
    assert list((await update(models=["*"])).models) == ["*"]
    assert (await update(expires_at=0)).expires_at == 0
    assert not (await update(clear_limits=True)).limits
    key = await update(limits=[LIMIT], expires_at=FAR)
    (limit,) = key.limits
    assert (limit.amount, limit.managed_by) == (LIMIT.amount, "api")
    assert (key.expires_at, key.former_until) == (FAR, rotated.key.former_until)
    assert (await update(end_grace=True)).former_until == 0
    events = (await admin.stub.ListAuditEvents(pb.ListAuditEventsRequest(object_name="default/ci"))).events
    assert (events[0].action, json.loads(events[0].after)["name"]) == ("update", "nightly")
    # The name is free again.
    await admin.stub.CreateKey(pb.CreateKeyRequest(key=pb.Key(organisation="default", name="ci")))
    assert (await refused(update(name="ci")))[0] is grpc.StatusCode.ALREADY_EXISTS


async def test_what_an_update_and_a_rotation_may_not_be(admin: Admin, made: pb.CreateKeyResponse) -> None:
    async def update(**fields: Any) -> tuple[grpc.StatusCode, str]:
        wanted = {"id": made.key.id, **fields}
        return await refused(admin.stub.UpdateKey(pb.UpdateKeyRequest(**wanted)))

    assert (await update(expires_at=1))[1].startswith("expires_at: in the past")
    assert (await update(name="No Name"))[1].startswith("name: ")
    assert (await update(models=[""]))[1].startswith("models[0]: ")
    assert (await update(limits=[LIMIT], clear_limits=True))[1].startswith("clear_limits: ")
    assert (await update(version=made.key.version + 1, name="x"))[0] is grpc.StatusCode.ABORTED
    for unknown in ("unknown", "nobody/ci", ""):
        assert (await update(id=unknown, name="x"))[0] is grpc.StatusCode.NOT_FOUND
        assert (await refused(rotate(admin, unknown)))[0] is grpc.StatusCode.NOT_FOUND
    assert (await refused(rotate(admin, grace_seconds=366 * 86_400 + 1)))[1].startswith("grace_seconds: ")
    assert (await refused(rotate(admin, ends=9)))[1] == "ends: not a known value; accepted: former, newest"
    _, message = await refused(rotate(admin, value="too-short"))
    assert (message.startswith("value: "), "too-short" in message) == (True, False)
    assert (await refused(rotate(admin, version=made.key.version + 1)))[0] is grpc.StatusCode.ABORTED
    await admin.stub.RevokeKey(pb.RevokeKeyRequest(id=made.key.id))
    assert (await refused(rotate(admin, made.key.id)))[0] is grpc.StatusCode.NOT_FOUND


async def test_a_name_that_several_organisations_have_is_not_enough(
    admin: Admin, made: pb.CreateKeyResponse
) -> None:
    await admin.stub.PutOrganisation(pb.PutOrganisationRequest(organisation=pb.Organisation(name="acme")))
    assert (await rotate(admin, "ci", grace_seconds=0)).key.id == made.key.id
    other = await admin.stub.CreateKey(pb.CreateKeyRequest(key=pb.Key(organisation="acme", name="ci")))
    code, message = await refused(rotate(admin, "ci"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert f"acme/ci ({other.key.id}), default/ci ({made.key.id})" in message
    assert (await rotate(admin, "acme/ci")).key.id == other.key.id


async def test_nodes_and_invitations_of_a_rotated_key_stay_its_own(
    admin: Admin, made: pb.CreateKeyResponse
) -> None:
    invitation = Invitation(owner_key="ci", visibility=Visibility.PRIVATE)
    node = join(admin.store, invitation, "default")
    token = invite(admin.store, invitation, "default")
    await rotate(admin, grace_seconds=0)
    await admin.stub.UpdateKey(pb.UpdateKeyRequest(id=made.key.id, name="nightly"))
    assert admin.store.load().nodes[node.id] == node
    assert node.owner_key_id == made.key.id
    assert enrol(admin.store, token, "other").owner_key_id == made.key.id
    (listed, _) = (await admin.stub.ListNodes(pb.ListNodesRequest())).nodes
    assert listed.owner_key == "nightly"
