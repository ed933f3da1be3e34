"""The calls on single objects, over the wire."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.xds_server.admin.conftest import Admin
from tests.xds_server.admin.documents import CREDENTIAL, KEY_VALUE, document, limit
from xds_server.store.api_keys import hash_of

GOOD = pb.Provider(name="openai", base_url="https://api.example.com/v1", credentials=[CREDENTIAL])


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), str(caught.value.details())


async def put_provider(admin: Admin, **fields: Any) -> pb.Provider:
    wanted = pb.Provider()
    wanted.CopyFrom(GOOD)
    wanted.ClearField("credentials")
    wanted.MergeFrom(pb.Provider(**fields))
    response: pb.PutProviderResponse = await admin.stub.PutProvider(pb.PutProviderRequest(provider=wanted))
    return response.provider


async def test_a_provider_is_made_replaced_and_removed(admin: Admin) -> None:
    made = await put_provider(admin, credentials=[CREDENTIAL])
    assert (made.credential_count, list(made.credentials), made.version) == (1, [], 1)
    kept = await put_provider(admin, version=made.version, base_url="https://api.example.com/v2")
    assert (kept.credential_count, kept.version) == (1, 2)
    assert admin.store.load().providers["openai"].credentials == (CREDENTIAL,)
    cleared = await put_provider(
        admin, version=kept.version, base_url="https://b.example.com", clear_credentials=True, stream_usage=False
    )
    assert (cleared.credential_count, cleared.stream_usage) == (0, False)
    assert list((await admin.stub.ListProviders(pb.ListProvidersRequest())).providers) == [cleared]
    await admin.stub.DeleteProvider(pb.DeleteProviderRequest(name="openai", version=cleared.version))
    assert not (await admin.stub.ListProviders(pb.ListProvidersRequest())).providers
    assert admin.clients.published == [1, 2, 3, 4]


MOVED = (
    "provider.base_url: the stored credentials were given for https://api.example.com and would go to another "
    "host, port or scheme; give `credentials` again (--credential), or remove them (--clear-credentials; in a "
    "file `credentials: []`)"
)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.example.com.evil.example/v1",
        "https://other.example.com/v1",
        "https://api.example.com:8443/v1",
        "http://api.example.com/v1",
        "http://api.example.com:443/v1",
        "https://[2001:db8::1]/v1",
    ],
)
async def test_stored_credentials_do_not_follow_a_provider_to_another_host(admin: Admin, base_url: str) -> None:
    made = await put_provider(admin, credentials=[CREDENTIAL])
    moving = put_provider(admin, version=made.version, base_url=base_url)
    assert await refused(moving) == (grpc.StatusCode.INVALID_ARGUMENT, MOVED)
    wanted = pb.Document(providers=[pb.Provider(name="openai", base_url=base_url)])
    for dry_run in (True, False):
        applied = admin.stub.Apply(pb.ApplyRequest(document=wanted, dry_run=dry_run, take_over=True))
        expected = MOVED.replace("provider.", "providers[0].")
        assert await refused(applied) == (grpc.StatusCode.INVALID_ARGUMENT, expected)
    assert admin.store.load().providers["openai"].base_url == "https://api.example.com/v1"
    # The address changes if the credentials are given again.
    again = await put_provider(admin, version=made.version, base_url=base_url, credentials=[CREDENTIAL])
    assert (again.base_url, again.credential_count) == (base_url, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": "https://api.example.com/other/v2"},
        {"base_url": "https://API.example.com:443/v1"},
        {"ca_file": "/etc/ca.pem"},
        {"stream_usage": False},
    ],
)
async def test_stored_credentials_stay_with_their_host(admin: Admin, fields: dict[str, Any]) -> None:
    made = await put_provider(admin, credentials=[CREDENTIAL])
    kept = await put_provider(admin, version=made.version, **fields)
    assert (kept.credential_count, kept.version) == (1, 2)


async def test_a_provider_without_credentials_moves_freely(admin: Admin) -> None:
    made = await put_provider(admin, credentials=[CREDENTIAL])
    moved = await put_provider(
        admin, version=made.version, base_url="https://b.example.com", clear_credentials=True
    )
    moved = await put_provider(admin, version=moved.version, base_url="https://api.example.com/v1")
    assert (moved.credential_count, moved.version) == (0, 3)


async def test_a_stale_write_is_aborted(admin: Admin) -> None:
    made = await put_provider(admin)
    await put_provider(admin, version=made.version, base_url="https://b.example.com")
    code, message = await refused(put_provider(admin, version=made.version, base_url="https://c.example.com"))
    assert code is grpc.StatusCode.ABORTED
    assert message == (
        'provider "openai" is at version 2, the write is based on 1: read it again and repeat the change'
    )
    for call in (
        admin.stub.DeleteProvider(pb.DeleteProviderRequest(name="openai", version=made.version)),
        admin.stub.Apply(pb.ApplyRequest(document=pb.Document(providers=[pb.Provider(
            name="openai", base_url="https://c.example.com", version=made.version)]))),
    ):  # fmt: skip
        assert (await refused(call))[0] is grpc.StatusCode.ABORTED


async def test_of_concurrent_replacements_one_wins(admin: Admin) -> None:
    made = await put_provider(admin)
    results = await asyncio.gather(
        *(put_provider(admin, version=made.version, base_url=f"https://{n}.example.com") for n in range(8)),
        return_exceptions=True,
    )
    errors = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    assert [error.code() for error in errors] == [grpc.StatusCode.ABORTED] * 7


async def test_creating_what_exists_and_replacing_what_does_not(admin: Admin) -> None:
    assert (await refused(put_provider(admin, version=3)))[0] is grpc.StatusCode.NOT_FOUND
    await put_provider(admin)
    assert (await refused(put_provider(admin)))[0] is grpc.StatusCode.ALREADY_EXISTS
    code, _ = await refused(admin.stub.DeleteProvider(pb.DeleteProviderRequest(name="nobody")))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_a_provider_in_use_stays(admin: Admin) -> None:
    await admin.stub.Apply(pb.ApplyRequest(document=document()))
    code, message = await refused(admin.stub.DeleteProvider(pb.DeleteProviderRequest(name="azure")))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert message == 'provider "azure" is used by these routes: gpt-4.1; take it out of their targets first'


async def test_a_route_is_made_replaced_and_removed(admin: Admin) -> None:
    await admin.stub.Apply(pb.ApplyRequest(document=document()))
    wanted = pb.Route(
        model="m", organisation="acme", targets=[pb.RouteTarget(provider="azure", model="x")], cache_most_bytes=1
    )
    made = await admin.stub.PutRoute(pb.PutRouteRequest(route=wanted))
    assert made.route.id.startswith("rt_")
    assert (made.route.organisation, made.route.targets[0].weight) == ("acme", 1)
    assert list(made.warnings) == [
        "route.cache_most_bytes: stored, and nothing is cached without a cache_ttl_seconds"
    ]
    wanted.version, wanted.strategy = made.route.version, pb.STRATEGY_PRIORITY
    replaced = (await admin.stub.PutRoute(pb.PutRouteRequest(route=wanted))).route
    assert (replaced.id, replaced.strategy) == (made.route.id, pb.STRATEGY_PRIORITY)
    assert (await refused(admin.stub.PutRoute(pb.PutRouteRequest(route=wanted))))[0] is grpc.StatusCode.ABORTED
    listed = (await admin.stub.ListRoutes(pb.ListRoutesRequest())).routes
    assert [(each.organisation, each.model) for each in listed] == [
        ("", "gpt-4.1"),
        ("acme", "gpt-4.1"),
        ("acme", "m"),
    ]
    await admin.stub.DeleteRoute(pb.DeleteRouteRequest(model="m", organisation="acme", version=replaced.version))
    code, message = await refused(admin.stub.DeleteRoute(pb.DeleteRouteRequest(model="m", organisation="acme")))
    assert (code, message) == (grpc.StatusCode.NOT_FOUND, 'no route "acme/m"')


async def test_a_route_to_an_unknown_provider_is_refused(admin: Admin) -> None:
    await put_provider(admin)
    wanted = pb.Route(model="m", targets=[pb.RouteTarget(provider="foo", model="x")])
    code, message = await refused(admin.stub.PutRoute(pb.PutRouteRequest(route=wanted)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message == 'route.targets[0].provider: no provider "foo"; known: openai'


async def test_an_organisation_is_made_replaced_and_removed(admin: Admin) -> None:
    wanted = pb.Organisation(name="acme", limits=[limit()])
    made = await admin.stub.PutOrganisation(pb.PutOrganisationRequest(organisation=wanted))
    await admin.stub.CreateKey(pb.CreateKeyRequest(key=pb.Key(organisation="acme", name="ci")))
    wanted.version = made.organisation.version
    del wanted.limits[:]
    replaced = (await admin.stub.PutOrganisation(pb.PutOrganisationRequest(organisation=wanted))).organisation
    assert (replaced.id, len(replaced.limits)) == (made.organisation.id, 0)
    assert len(admin.store.load().keys) == 1
    listed = (await admin.stub.ListOrganisations(pb.ListOrganisationsRequest())).organisations
    assert list(listed) == [replaced]
    await admin.stub.DeleteOrganisation(pb.DeleteOrganisationRequest(name="acme"))
    assert not admin.store.load().keys


async def test_a_key_is_made_shown_once_and_revoked(admin: Admin) -> None:
    admin.store.bootstrap()
    made = await admin.stub.CreateKey(
        pb.CreateKeyRequest(key=pb.Key(organisation="default", name="ci", models=["gpt-*"]))
    )
    head, public_id, secret = made.value.rsplit("-", 2)
    assert (head, public_id) == ("sk-tl", made.key.id)
    assert len(secret) == 43
    assert admin.store.load().keys[made.key.id].hash == hash_of(made.value)
    request = pb.ListKeysRequest(organisation="default")
    assert secret not in str(await admin.stub.ListKeys(request))
    revoked = await admin.stub.RevokeKey(pb.RevokeKeyRequest(id=made.key.id))
    assert abs(revoked.key.revoked_at - time.time()) < 60
    assert made.key.id not in admin.store.load().keys
    again = await admin.stub.RevokeKey(pb.RevokeKeyRequest(id=made.key.id))
    assert again.key == revoked.key
    assert [each.name for each in (await admin.stub.ListKeys(request)).keys] == ["first"]
    request.include_revoked = True
    assert [each.name for each in (await admin.stub.ListKeys(request)).keys] == ["ci", "first"]
    remade = await admin.stub.CreateKey(pb.CreateKeyRequest(key=pb.Key(organisation="default", name="ci")))
    assert remade.key.id != made.key.id


async def test_what_a_key_may_not_be(admin: Admin) -> None:
    admin.store.bootstrap()
    key = pb.Key(organisation="default", name="ci")
    await admin.stub.CreateKey(pb.CreateKeyRequest(key=key, value=KEY_VALUE))

    async def outcome(value: str = "", **fields: Any) -> tuple[grpc.StatusCode, str]:
        wanted = pb.Key(organisation="default", name="other")
        wanted.MergeFrom(pb.Key(**fields))
        return await refused(admin.stub.CreateKey(pb.CreateKeyRequest(key=wanted, value=value)))

    code, message = await outcome(value=KEY_VALUE)
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert KEY_VALUE not in message
    assert (await outcome(name="ci"))[0] is grpc.StatusCode.ALREADY_EXISTS
    code, message = await outcome(value="too-short")
    assert (code, "too-short" in message) == (grpc.StatusCode.INVALID_ARGUMENT, False)
    assert message.startswith("value: ")
    assert (await outcome(expires_at=1))[1].startswith("key.expires_at: in the past")
    assert (await outcome(organisation="nobody"))[
        1
    ] == 'key.organisation: no organisation "nobody"; known: default'
    code, _ = await refused(admin.stub.RevokeKey(pb.RevokeKeyRequest(id="unknown")))
    assert code is grpc.StatusCode.NOT_FOUND
    code, _ = await refused(admin.stub.ListKeys(pb.ListKeysRequest(organisation="nobody")))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_a_key_of_another_installation_keeps_its_id(admin: Admin) -> None:
    admin.store.bootstrap()
    value = "sk-tl-abcdefgh23-" + "A" * 43
    made = await admin.stub.CreateKey(
        pb.CreateKeyRequest(key=pb.Key(organisation="default", name="moved"), value=value)
    )
    assert made.key.id == "abcdefgh23"


async def test_status_shows_the_clients(admin: Admin) -> None:
    await put_provider(admin)
    response = await admin.stub.GetStatus(pb.GetStatusRequest())
    assert response.revision == 1
    (client,) = response.clients
    assert (client.client_id, client.kind, client.connected, client.since) == (
        "envoy-a", "envoy", True, 1_700_000_000,
    )  # fmt: skip
    (of_type,) = client.types
    assert (of_type.accepted_revision, of_type.pending, of_type.acks, of_type.nacks) == (3, True, 5, 1)
    assert of_type.rejection == response.recent_rejections[0]
    assert of_type.rejection.resource_names == ["chain:1"]
    assert of_type.last_ack_ms == 12
    (refused,) = response.refused_peers
    assert (refused.peer, refused.reason, refused.count) == ("ipv4:10.0.0.9", "no valid token", 3)
