"""Apply and Export: Apply makes the state equal the document, once, completely or not at all."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.xds_server.admin.conftest import Admin
from tests.xds_server.admin.documents import CREDENTIAL, KEY_VALUE, SECRETS, document
from xds_server.admin.prune import SECTIONS
from xds_server.model import DesiredState
from xds_server.store import AuditQuery
from xds_server.store.api_keys import hash_of


async def apply(admin: Admin, wanted: pb.Document, **options: Any) -> pb.ApplyResponse:
    response: pb.ApplyResponse = await admin.stub.Apply(pb.ApplyRequest(document=wanted, **options))
    return response


async def whole(admin: Admin, wanted: pb.Document) -> pb.ApplyResponse:
    """Applies the document as everything that the file manages."""
    return await apply(admin, wanted, prune=True, sections=sorted(SECTIONS))


def kinds(response: pb.ApplyResponse) -> list[tuple[str, str, str]]:
    return [
        (pb.Change.Kind.Name(change.kind).removeprefix("KIND_"), change.object_type, change.object_name)
        for change in response.changes
    ]


async def test_the_state_becomes_the_document(admin: Admin) -> None:
    response = await apply(admin, document(), wait_ms=1500)
    assert kinds(response) == [
        ("CREATE", "provider", "azure"),
        ("CREATE", "provider", "openai"),
        ("CREATE", "route", "acme/gpt-4.1"),
        ("CREATE", "route", "gpt-4.1"),
        ("CREATE", "organisation", "acme"),
        ("CREATE", "key", "acme/ci"),
    ]
    assert list(response.warnings) == [
        "providers[1].base_url: stored, without a path; most providers' base URLs end in one, as in /v1"
    ]
    assert admin.clients.published == [1]
    assert admin.clients.waited == [(1, 1.5)]
    assert response.propagation.rejections[0].reason == "bad weight"
    assert list(response.propagation.waiting_for) == ["envoy-b"]
    state = admin.store.load()
    assert state.providers["openai"].credentials == (CREDENTIAL,)
    assert state.providers["openai"].base_url == "https://api.example.com/v1"
    assert state.providers["openai"].stream_usage
    (key,) = state.keys.values()
    assert key.hash == hash_of(KEY_VALUE)
    assert not any(secret in str(response) for secret in SECRETS)


async def test_a_second_apply_changes_nothing(admin: Admin) -> None:
    await apply(admin, document())
    again = document()
    again.routes.reverse()
    again.providers.reverse()
    response = await apply(admin, again)
    assert not response.changes
    assert admin.clients.published == [1]
    assert {event.revision for event in admin.store.audit_events(AuditQuery())} == {1}


async def test_a_dry_run_shows_the_difference_and_changes_nothing(admin: Admin) -> None:
    response = await apply(admin, document(), dry_run=True)
    assert len(response.changes) == 6
    assert not response.HasField("propagation")
    assert admin.store.load() == DesiredState(0)
    assert admin.clients.published == []
    assert admin.store.audit_events(AuditQuery()) == []


async def test_an_error_anywhere_changes_nothing(admin: Admin) -> None:
    await apply(admin, document())
    before = admin.store.load()
    wrong = document()
    wrong.providers[0].base_url = "https://other.example.com"
    wrong.organisations[0].keys.add(key=pb.Key(name="new"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await apply(admin, wrong)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert 'organisations[0].keys[1].value: no value, and no stored key "new"' in str(caught.value.details())
    assert admin.store.load() is before


async def test_a_failure_inside_the_transaction_changes_nothing(admin: Admin) -> None:
    await apply(admin, document())
    before = admin.store.load()
    wrong = document()
    wrong.providers[0].base_url = "https://other.example.com"
    wrong.organisations[0].keys[0].key.version = 99
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await apply(admin, wrong)
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert admin.store.load() is before


async def test_what_the_document_does_not_name_is_pruned(admin: Admin) -> None:
    await apply(admin, document())
    response = await whole(admin, pb.Document())
    assert {kind for kind, _, _ in kinds(response)} == {"DELETE"}
    assert len(response.changes) == 6
    state = admin.store.load()
    assert not state.providers
    assert not state.routes
    assert not state.organisations
    assert not state.keys


async def test_keys_not_named_are_pruned(admin: Admin) -> None:
    await apply(admin, document())
    fewer = document()
    del fewer.organisations[0].keys[:]
    assert kinds(await whole(admin, fewer)) == [("DELETE", "key", "acme/ci")]
    assert admin.store.load().keys == {}
    (record,) = admin.store.keys(include_revoked=True)
    assert record.revoked_at > 0


async def test_the_bootstrapped_organisation_survives(admin: Admin) -> None:
    admin.store.bootstrap()
    await apply(admin, document())
    await whole(admin, pb.Document())
    assert [each.name for each in admin.store.load().organisations.values()] == ["default"]
    assert len(admin.store.load().keys) == 1
    named = pb.Document(organisations=[pb.OrganisationDocument(organisation=pb.Organisation(name="default"))])
    assert kinds(await whole(admin, named)) == []
    assert len(admin.store.load().keys) == 1


async def test_a_route_may_belong_to_the_surviving_organisation(admin: Admin) -> None:
    admin.store.bootstrap()
    wanted = document()
    wanted.routes.add(model="own", organisation="default", targets=[pb.RouteTarget(nodes="m")])
    assert ("CREATE", "route", "default/own") in kinds(await apply(admin, wanted))


async def test_another_value_is_the_same_key_and_ends_the_one_before(admin: Admin) -> None:
    await apply(admin, document())
    (old,) = admin.store.load().keys.values()
    changed = document()
    changed.organisations[0].keys[0].value = "another-value-of-the-key"
    assert kinds(await apply(admin, changed)) == [("UPDATE", "key", "acme/ci")]
    (new,) = admin.store.load().keys.values()
    assert new.id == old.id
    assert new.hash == hash_of("another-value-of-the-key")
    assert (new.former_hash, new.former_until <= time.time()) == (old.hash, True)


async def test_a_document_does_not_put_back_what_a_rotation_replaced(admin: Admin) -> None:
    await apply(admin, document())
    (key,) = admin.store.load().keys.values()
    for _ in range(2):
        await admin.stub.RotateKey(pb.RotateKeyRequest(id=key.id, grace_seconds=0))
    (rotated,) = admin.store.load().keys.values()
    answer = await apply(admin, document())
    assert kinds(answer) == []
    assert answer.warnings[-1] == (
        'key "acme/ci": its value in the document was replaced by a rotation, and is not restored'
    )
    assert admin.store.load().keys == {key.id: rotated}


async def test_a_key_that_has_expired_is_stored_with_a_warning(admin: Admin) -> None:
    wanted = document()
    wanted.organisations[0].keys[0].key.expires_at = 1_600_000_000
    assert (
        "organisations[0].keys[0].expires_at: stored, and already past: requests with this key are refused"
        in (await apply(admin, wanted)).warnings
    )


async def test_two_keys_may_swap_their_values(admin: Admin) -> None:
    wanted = document()
    wanted.organisations[0].keys.add(key=pb.Key(name="other"), value="value-of-the-other-key")
    await apply(admin, wanted)
    keys = wanted.organisations[0].keys
    keys[0].value, keys[1].value = keys[1].value, keys[0].value
    await apply(admin, wanted)
    by_name = {each.name: each.hash for each in admin.store.load().keys.values()}
    assert by_name == {"ci": hash_of("value-of-the-other-key"), "other": hash_of(KEY_VALUE)}


async def test_an_export_with_a_rotated_key_applies_unchanged(admin: Admin) -> None:
    await apply(admin, document())
    (key,) = admin.store.load().keys.values()
    await admin.stub.RotateKey(pb.RotateKeyRequest(id=key.id))
    exported = (await admin.stub.Export(pb.ExportRequest())).document
    assert not exported.organisations[0].keys[0].key.former_until
    assert kinds(await apply(admin, exported)) == []


async def test_a_value_may_move_between_organisations(admin: Admin) -> None:
    await apply(admin, document())
    moved = document()
    moved.organisations[0].keys[0].value = "another-value-of-the-key"
    moved.organisations.add(
        organisation=pb.Organisation(name="other"),
        keys=[pb.KeyDocument(key=pb.Key(name="ci"), value=KEY_VALUE)],
    )
    moved.organisations.reverse()
    await apply(admin, moved)
    assert len(admin.store.load().keys) == 2
    await whole(admin, document())
    assert len(admin.store.load().keys) == 1


async def test_a_difference_names_its_fields_and_hides_secrets(admin: Admin) -> None:
    await apply(admin, document())
    changed = document()
    changed.providers[0].credentials[:] = ["another-credential"]
    changed.providers[1].base_url = "http://127.0.0.1:9001"
    changed.routes[0].targets[0].weight = 90
    response = await apply(admin, changed)
    fields = {
        (change.object_name, field.field): (field.before, field.after)
        for change in response.changes
        for field in change.fields
    }
    assert fields["openai", "credentials"] == ('["***"]', '["***"]')
    assert fields["azure", "base_url"] == ('"http://127.0.0.1:9000"', '"http://127.0.0.1:9001"')
    assert '"weight":90' in fields["gpt-4.1", "targets"][1]
    assert len(fields) == 3
    assert admin.store.load().providers["openai"].credentials == ("another-credential",)


async def test_an_export_applies_without_a_change_and_without_secrets(admin: Admin) -> None:
    admin.store.bootstrap()
    await apply(admin, document())
    exported = (await admin.stub.Export(pb.ExportRequest())).document
    assert not any(secret in str(exported) for secret in SECRETS)
    assert [len(owner.keys) for owner in exported.organisations] == [1, 1]
    before = admin.store.load()
    assert not (await apply(admin, exported)).changes
    assert admin.store.load() is before


async def test_ten_thousand_keys_in_one_document(admin: Admin) -> None:
    wanted = document()
    wanted.organisations[0].keys.extend(
        pb.KeyDocument(key=pb.Key(name=f"key-{number}"), value=f"value-of-the-key-{number}")
        for number in range(9_999)
    )
    assert len((await apply(admin, wanted)).changes) == 10_005
    assert not (await apply(admin, wanted)).changes
    assert len((await admin.stub.ListKeys(pb.ListKeysRequest(organisation="acme"))).keys) == 10_000
