"""Managers: a file and the API leave each other's objects alone, and report them."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2

from tests.xds_server.admin.conftest import TOKEN, Admin
from tests.xds_server.admin.documents import KEY_VALUE, document, limit
from tests.xds_server.admin.test_apply import apply, kinds, whole
from xds_server.model import Key, Organisation, Route
from xds_server.store import AuditQuery

Reason = pb.Conflict.Reason
BUDGET = policy_pb2.Limit(metric=policy_pb2.METRIC_TOKENS, per_seconds=3600, amount=1_000)


def reported(response: pb.ApplyResponse) -> list[tuple[str, str, str]]:
    return [
        (Reason.Name(each.reason).removeprefix("REASON_"), each.object_type, each.object_name)
        for each in response.conflicts
    ]


def organisation(admin: Admin, name: str = "acme") -> Organisation:
    return next(each for each in admin.store.load().organisations.values() if each.name == name)


def route(admin: Admin, model: str = "gpt-4.1") -> Route:
    routes = admin.store.load().routes.values()
    return next(each for each in routes if (each.model, each.organisation_id) == (model, ""))


def key(admin: Admin, name: str) -> Key:
    return next(each for each in admin.store.load().keys.values() if each.name == name)


async def set_limits(admin: Admin, *limits: policy_pb2.Limit, **options: Any) -> None:
    stored = next(
        each
        for each in (await admin.stub.ListOrganisations(pb.ListOrganisationsRequest())).organisations
        if each.name == "acme"
    )
    del stored.limits[:]
    stored.limits.extend(limits)
    await calling(admin, **options).PutOrganisation(pb.PutOrganisationRequest(organisation=stored))


def calling(admin: Admin, *, take_over: bool = False) -> Any:
    return admin.stub.taking_over() if take_over else admin.stub


async def change_route(admin: Admin, *, weight: int = 7, take_over: bool = False) -> None:
    stored = next(
        each
        for each in (await admin.stub.ListRoutes(pb.ListRoutesRequest())).routes
        if (each.model, each.organisation) == ("gpt-4.1", "")
    )
    stored.targets[0].weight = weight
    await calling(admin, take_over=take_over).PutRoute(pb.PutRouteRequest(route=stored))


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    return str(caught.value.details())


async def test_everything_says_who_manages_it(admin: Admin) -> None:
    await apply(admin, document())
    await admin.stub.CreateKey(pb.CreateKeyRequest(key=pb.Key(organisation="acme", name="mine")))
    exported = (await admin.stub.Export(pb.ExportRequest())).document
    (owner,) = exported.organisations
    assert {each.managed_by for each in exported.providers} == {"file:trunkline"}
    assert [each.credentials_managed_by for each in exported.providers] == ["", "file:trunkline"]
    assert {each.managed_by for each in exported.routes} == {"file:trunkline"}
    assert owner.organisation.managed_by == owner.organisation.limits[0].managed_by == "file:trunkline"
    assert {each.key.name: each.key.managed_by for each in owner.keys} == {"ci": "file:trunkline", "mine": "api"}
    assert '"managed_by": "file:trunkline"' in admin.store.audit_events(AuditQuery(object_name="acme/ci"))[
        0
    ].after.replace('":"', '": "')


async def test_what_the_api_made_in_a_files_organisation_stays(admin: Admin) -> None:
    await apply(admin, document())
    made = await admin.stub.CreateKey(pb.CreateKeyRequest(key=pb.Key(organisation="acme", name="mine")))
    await set_limits(admin, limit(), BUDGET)
    before = admin.store.load()

    assert not (await apply(admin, document())).changes
    assert not (await whole(admin, document())).changes
    assert admin.store.load() is before
    assert made.key.id in before.keys
    assert [each.managed_by for each in organisation(admin).limits] == ["file:trunkline", "api"]

    kept = await whole(admin, pb.Document())
    assert reported(kept) == [("IN_USE", "organisation", "acme")]
    assert kept.conflicts[0].detail == "it has keys (mine) and limits (tokens/1h)"
    assert made.key.id in admin.store.load().keys


async def test_the_file_changes_and_removes_its_own_limits_only(admin: Admin) -> None:
    await apply(admin, document())
    await set_limits(admin, limit(), BUDGET)
    changed = document()
    del changed.organisations[0].organisation.limits[:]
    await apply(admin, changed)
    assert [each.name for each in organisation(admin).limits] == ["tokens/1h"]

    changed.organisations[0].organisation.limits.add().CopyFrom(BUDGET)
    changed.organisations[0].organisation.limits[0].amount = 9
    conflict = await apply(admin, changed)
    assert reported(conflict) == [("MANAGED_ELSEWHERE", "organisation", "acme")]
    assert conflict.conflicts[0].limit.managed_by == "api"
    assert (conflict.conflicts[0].fields[0].before, conflict.conflicts[0].fields[0].after) == ("1000", "9")
    assert organisation(admin).limits[0].amount == 1_000

    await apply(admin, changed, take_over=True)
    assert [(each.amount, each.managed_by) for each in organisation(admin).limits] == [(9, "file:trunkline")]


async def test_an_object_of_the_api_is_left_until_the_file_takes_over(admin: Admin) -> None:
    await admin.stub.PutProvider(
        pb.PutProviderRequest(provider=pb.Provider(name="openai", base_url="https://mine.example.com"))
    )
    response = await apply(admin, document(), dry_run=True)
    assert reported(response) == [("MANAGED_ELSEWHERE", "provider", "openai")]
    assert [each.field for each in response.conflicts[0].fields] == ["base_url"]

    await apply(admin, document())
    assert admin.store.load().providers["openai"].base_url == "https://mine.example.com"
    assert route(admin).managed_by == "file:trunkline"

    taken = await apply(admin, document(), take_over=True)
    assert kinds(taken) == [("UPDATE", "provider", "openai")]
    assert ("managed_by", '"api"', '"file:trunkline"') in [
        (each.field, each.before, each.after) for each in taken.changes[0].fields
    ]
    assert not taken.conflicts
    assert admin.store.load().providers["openai"].base_url == "https://api.example.com/v1"


async def test_the_api_changes_a_files_object_only_when_it_takes_over(admin: Admin) -> None:
    await apply(admin, document())
    said = await refused(change_route(admin))
    assert 'route "gpt-4.1" is managed by the file "trunkline"' in said
    assert "--take-over" in said
    await refused(admin.stub.DeleteRoute(pb.DeleteRouteRequest(model="gpt-4.1")))
    await refused(set_limits(admin, limit(7)))
    await refused(set_limits(admin))
    await refused(admin.stub.DeleteOrganisation(pb.DeleteOrganisationRequest(name="acme")))

    await change_route(admin, take_over=True)
    await set_limits(admin, limit(7), take_over=True)
    restarted = await apply(admin, document())
    assert not restarted.changes
    assert reported(restarted) == [
        ("MANAGED_ELSEWHERE", "route", "gpt-4.1"),
        ("MANAGED_ELSEWHERE", "organisation", "acme"),
    ]
    assert route(admin).targets[0].weight == 7
    assert organisation(admin).limits[0].amount == 7


async def test_what_the_api_removed_the_file_does_not_bring_back(admin: Admin) -> None:
    await apply(admin, document())
    ci = key(admin, "ci")
    await admin.stub.RevokeKey(pb.RevokeKeyRequest(id=ci.id))
    taking = admin.stub.taking_over()
    await set_limits(admin, take_over=True)
    await taking.DeleteRoute(pb.DeleteRouteRequest(model="gpt-4.1"))
    await taking.DeleteProvider(pb.DeleteProviderRequest(name="openai"))

    more = document()
    more.routes.add(model="new", targets=[pb.RouteTarget(provider="openai", model="new")])
    restarted = await apply(admin, more)
    assert not restarted.changes
    assert reported(restarted) == [
        ("REMOVED", "provider", "openai"),
        ("REMOVED", "route", "gpt-4.1"),
        ("REFERS_TO_REMOVED", "route", "new"),
        ("REMOVED", "organisation", "acme"),
        ("REMOVED", "key", "acme/ci"),
    ]
    valueless = document()
    valueless.organisations[0].keys[0].value = ""
    assert not (await apply(admin, valueless)).changes

    await apply(admin, more, take_over=True)
    assert not (await apply(admin, more)).conflicts
    assert key(admin, "ci").hash == ci.hash


async def test_a_provider_that_only_a_left_route_names_may_be_gone(admin: Admin) -> None:
    await admin.stub.PutProvider(
        pb.PutProviderRequest(provider=pb.Provider(name="mine", base_url="https://mine.example.com"))
    )
    wanted = pb.Document(routes=[pb.Route(model="m", targets=[pb.RouteTarget(provider="mine", model="x")])])
    await apply(admin, wanted)
    (stored,) = (await admin.stub.ListRoutes(pb.ListRoutesRequest())).routes
    del stored.targets[:]
    stored.targets.add(nodes="own")
    await admin.stub.taking_over().PutRoute(pb.PutRouteRequest(route=stored))
    await admin.stub.DeleteProvider(pb.DeleteProviderRequest(name="mine"))
    assert reported(await apply(admin, wanted)) == [("REFERS_TO_REMOVED", "route", "m")]
    with pytest.raises(grpc.aio.AioRpcError, match='no provider "mine"'):
        await apply(admin, wanted, take_over=True)


async def test_a_new_value_in_the_file_is_a_new_key(admin: Admin) -> None:
    await apply(admin, document())
    await admin.stub.RevokeKey(pb.RevokeKeyRequest(id=key(admin, "ci").id))
    renewed = document()
    renewed.organisations[0].keys[0].value = "another-value-of-the-key"
    assert kinds(await apply(admin, renewed)) == [("CREATE", "key", "acme/ci")]


async def test_a_key_with_another_name_keeps_its_value(admin: Admin) -> None:
    await apply(admin, document())
    renamed = document()
    renamed.organisations[0].keys[0].key.name = "build"
    assert kinds(await apply(admin, renamed)) == [("CREATE", "key", "acme/build"), ("DELETE", "key", "acme/ci")]


async def test_limits_of_the_api_survive_another_value(admin: Admin) -> None:
    await apply(admin, document())
    own = pb.OrganisationDocument(organisation=pb.Organisation(name="acme", limits=[limit()]))
    own.keys.add(key=pb.Key(name="ci", models=["gpt-*"], limits=[limit(5), BUDGET]))
    await apply(admin, pb.Document(organisations=[own]), managed_by="api")
    changed = document()
    changed.organisations[0].keys[0].value = "another-value-of-the-key"
    await apply(admin, changed)
    assert [(each.name, each.managed_by) for each in key(admin, "ci").limits] == [
        ("requests/1m", "file:trunkline"),
        ("tokens/1h", "api"),
    ]


async def test_what_a_file_no_longer_names_stays_and_is_reported(admin: Admin) -> None:
    await apply(admin, document())
    fewer = document()
    del fewer.routes[1:]
    del fewer.organisations[0].keys[:]
    response = await apply(admin, fewer)
    assert not response.changes
    assert reported(response) == [("NOT_PRUNED", "route", "acme/gpt-4.1"), ("NOT_PRUNED", "key", "acme/ci")]
    pruned = await apply(admin, fewer, prune=True)
    assert kinds(pruned) == [("DELETE", "route", "acme/gpt-4.1"), ("DELETE", "key", "acme/ci")]


async def test_two_files(admin: Admin) -> None:
    await apply(admin, document())
    other = pb.Document(providers=[pb.Provider(name="other", base_url="https://other.example.com")])
    await apply(admin, other, managed_by="file:edge", prune=True, sections=["providers", "routes"])
    assert set(admin.store.load().providers) == {"openai", "azure", "other"}
    changed = document()
    changed.providers[1].base_url = "http://127.0.0.1:9001"
    conflict = await apply(admin, changed, managed_by="file:edge")
    (azure, _) = conflict.conflicts
    assert (azure.object_name, azure.managed_by) == ("azure", "file:trunkline")
    assert reported(conflict)[1] == ("NOT_PRUNED", "provider", "other")


async def test_credentials_that_a_file_leaves_out_are_the_apis(admin: Admin) -> None:
    without = document()
    del without.providers[0].credentials[:]
    await apply(admin, without)
    (stored, _) = sorted(
        (await admin.stub.ListProviders(pb.ListProvidersRequest())).providers, key=lambda each: -len(each.name)
    )
    stored.credentials.append("credential-of-the-api")
    await admin.stub.PutProvider(pb.PutProviderRequest(provider=stored))
    assert not (await apply(admin, without)).conflicts
    assert admin.store.load().providers["openai"].credentials == ("credential-of-the-api",)
    assert reported(await apply(admin, document())) == [("MANAGED_ELSEWHERE", "provider", "openai")]
    assert admin.store.load().providers["openai"].credentials == ("credential-of-the-api",)


async def test_an_export_of_one_manager(admin: Admin) -> None:
    await apply(admin, document())
    await admin.stub.CreateKey(pb.CreateKeyRequest(key=pb.Key(organisation="acme", name="mine")))
    await set_limits(admin, limit(), BUDGET)

    async def exported(managed_by: str) -> tuple[int, int, list[int], list[str]]:
        found = (await admin.stub.Export(pb.ExportRequest(managed_by=managed_by))).document
        (owner,) = found.organisations
        amounts = [each.amount for each in owner.organisation.limits]
        return len(found.providers), len(found.routes), amounts, [each.key.name for each in owner.keys]

    assert await exported("api") == (0, 0, [1_000], ["mine"])
    assert await exported("file") == await exported("file:trunkline") == (2, 2, [600], ["ci"])
    with pytest.raises(grpc.aio.AioRpcError, match="accepted: api, or file:NAME"):
        await exported("me")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"managed_by": "you"}, 'managed_by: "you" is not'),
        ({"managed_by": "file:"}, "managed_by: "),
        ({"sections": ["keys"]}, 'sections[0]: "keys" is not known; accepted: accounts, alerts, cache, '),
    ],
)
async def test_a_request_that_is_not_understood(admin: Admin, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await apply(admin, pb.Document(), **options)
    assert problem in str(caught.value.details())


async def test_what_is_older_than_managers(admin: Admin) -> None:
    await apply(admin, document())
    with admin.store._writer().begin() as connection:
        for table in ("organisation", "api_key", "route", "provider"):
            connection.exec_driver_sql(f"UPDATE {table} SET managed_by = ''")
        connection.exec_driver_sql("UPDATE revision SET value = value + 1")
    changed = document()
    changed.routes[0].targets[0].weight = 1
    claimed = await apply(admin, changed)
    assert reported(claimed) == [("MANAGED_ELSEWHERE", "route", "gpt-4.1")]
    assert claimed.conflicts[0].managed_by == ""
    assert {each.managed_by for each in admin.store.load().providers.values()} == {"file:trunkline"}
    assert key(admin, "ci").managed_by == "file:trunkline"
    assert route(admin).targets[0].weight == 80
    assert not any(secret in str(claimed) for secret in (TOKEN, KEY_VALUE))
