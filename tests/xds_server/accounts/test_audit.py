"""Which changes each role can read in the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.xds_server.accounts.conftest import Gateway, serving
from tests.xds_server.accounts.people import Town, invite, town
from xds_server.admin import requests
from xds_server.store import DatabaseUrl, Store
from xds_server.store.records import ObjectType


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    store = Store.open(DatabaseUrl.of_file(tmp_path / "trunkline.db"), key_file=tmp_path / "secret.key")
    async for each in serving(store, tmp_path):
        yield each
    store.close()


async def events(stub: Any, **query: Any) -> list[pb.AuditEvent]:
    return list((await stub.ListAuditEvents(pb.ListAuditEventsRequest(page_size=1_000, **query))).events)


async def routes(gateway: Gateway) -> None:
    """Creates a route of each organisation, and one of the installation whose model looks like one of acme's."""
    for model, organisation in (("own", "acme"), ("theirs", "other"), ("acme/own", "")):
        route = pb.Route(model=model, organisation=organisation, targets=[pb.RouteTarget(nodes="n", weight=1)])
        await gateway.admin.PutRoute(pb.PutRouteRequest(route=route))


def names(found: list[pb.AuditEvent]) -> set[tuple[str, str]]:
    """Returns type and name of the events; invitations without their ids."""
    return {(each.object_type, each.object_name.partition("@")[0]) for each in found}


OF_ACME = {
    ("organisation", "acme"),
    *(("invitation", role) for role in ("viewer", "member", "operator", "owner")),
    *(("member", f"acme/{role}") for role in ("viewer", "member", "operator", "owner")),
    *(("key", f"acme/{name}") for name in ("mine", "ci")),
    *(("node", f"acme/node-{name}") for name in ("own", "shared")),
}
#: Whether an object of this kind can belong to an organisation.
BELONGS = {
    ObjectType.PROVIDER: False,
    ObjectType.ROUTE: True,
    ObjectType.ORGANISATION: True,
    ObjectType.KEY: True,
    ObjectType.NODE: True,
    ObjectType.GATEWAY: False,
    ObjectType.JOIN_TOKEN: True,
    ObjectType.REQUEST: True,
    ObjectType.USER: False,
    ObjectType.MEMBER: True,
    ObjectType.INVITATION: True,
    ObjectType.TOKEN: False,
}


async def other_kinds(gateway: Gateway, found: Town) -> None:
    """Changes what neither `town` nor `routes` do."""
    provider = pb.Provider(name="p", base_url="https://api.example.com/v1")
    await gateway.admin.PutProvider(pb.PutProviderRequest(provider=provider))
    settings = pb.Gateway(cors=pb.Cors(origins=["https://app.example"]))
    await gateway.admin.PutGateway(pb.PutGatewayRequest(gateway=settings))
    token = {"name": "laptop"}
    assert (await found.browsers["owner"]("POST", "/admin/v1/me/tokens", token)).status == 200
    for organisation in ("acme", "other"):
        running = pb.RunningRequest(id=f"of-{organisation}", organisation=organisation)
        gateway.store.write("test", partial(requests.note_cancelled, cancelled=running))


async def test_an_owner_reads_of_each_kind_what_belongs_to_their_organisation(gateway: Gateway) -> None:
    found = await town(gateway)
    await routes(gateway)
    await other_kinds(gateway, found)
    for kind in ObjectType:
        of_kind = await events(gateway.admin, object_type=kind)
        seen = await events(found.stub("owner"), object_type=kind)
        assert of_kind, kind
        assert seen == [each for each in of_kind if each.organisation == "acme"], kind
        owners = {each.organisation for each in of_kind} - {""}
        assert owners == ({"acme", "other"} if BELONGS[kind] else set()), kind


async def test_an_owner_reads_what_belongs_to_their_organisation(gateway: Gateway) -> None:
    found = await town(gateway)
    await routes(gateway)
    owner = found.stub("owner")
    seen = await events(owner)
    assert {each for each in names(seen) if each[0] != "join-token"} == {*OF_ACME, ("route", "acme/own")}
    assert {each[1].partition("/")[0] for each in names(seen) if each[0] == "join-token"} == {"acme"}
    assert await events(owner, organisation="acme") == seen
    assert {each.object_type for each in await events(owner, object_type="key")} == {"key"}
    pages, before = [], 0
    while page := (await owner.ListAuditEvents(pb.ListAuditEventsRequest(page_size=3, before_id=before))).events:
        pages += page
        before = page[-1].id
    assert pages == seen


async def test_an_admin_reads_all_or_those_of_one_organisation(gateway: Gateway) -> None:
    found = await town(gateway)
    await routes(gateway)
    for admin in (found.stub("admin"), gateway.admin):
        seen = names(await events(admin))
        assert seen >= OF_ACME | {("organisation", "other"), ("key", "other/ci"), ("user", "alice")}
        assert {each for each in names(await events(admin, organisation="acme")) if each[0] != "join-token"} == {
            *OF_ACME,
            ("route", "acme/own"),
        }


@pytest.mark.parametrize("person", ["viewer", "member", "operator", "neighbour", "nobody"])
async def test_others_do_not(person: str, gateway: Gateway) -> None:
    found = await town(gateway)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events(found.stub(person), organisation="acme")
    refused = {"nobody": grpc.StatusCode.UNAUTHENTICATED, "neighbour": grpc.StatusCode.NOT_FOUND}
    assert caught.value.code() is refused.get(person, grpc.StatusCode.PERMISSION_DENIED)


async def test_of_several_organisations_those_that_one_owns(gateway: Gateway) -> None:
    found = await town(gateway)
    member = pb.PutMemberRequest(organisation="other", user="owner@acme.example", role=pb.ROLE_OPERATOR)
    await invite_again(gateway, found, member)
    assert "other/ci" not in {each.object_name for each in await events(found.stub("owner"))}
    member.role = pb.ROLE_OWNER
    await gateway.admin.PutMember(member)
    assert "other/ci" in {each.object_name for each in await events(found.stub("owner"))}


async def invite_again(gateway: Gateway, found: Town, member: pb.PutMemberRequest) -> None:
    """Makes a person join by a link, and then lets the inviter change the person's role."""
    request = pb.InviteUserRequest(email=member.user, organisation=member.organisation, role=member.role)
    link = (await gateway.admin.InviteUser(request)).url.partition("#invite=")[2]
    body = {"token": link, "name": "", "password": "correct horse battery"}
    answer = await found.browsers["owner"]("POST", "/admin/v1/invitations:accept", body)
    assert answer.status == 200, answer.json


async def test_an_earlier_organisation_of_that_name_stays_unseen(gateway: Gateway) -> None:
    await town(gateway)
    await gateway.admin.DeleteOrganisation(pb.DeleteOrganisationRequest(name="acme"))
    await gateway.admin.PutOrganisation(pb.PutOrganisationRequest(organisation=pb.Organisation(name="acme")))
    browser = await invite(gateway, "new@acme.example", "acme", pb.ROLE_OWNER)
    seen = await events(gateway.calling(browser.cookies["trunkline_session"]))
    assert names(seen) == {("organisation", "acme"), ("invitation", "new"), ("member", "acme/new")}


async def test_a_name_with_wildcards_matches_itself_alone(gateway: Gateway) -> None:
    for name in ("a_b", "axb", "a.b"):
        await gateway.admin.PutOrganisation(pb.PutOrganisationRequest(organisation=pb.Organisation(name=name)))
        await gateway.admin.CreateKey(pb.CreateKeyRequest(key=pb.Key(organisation=name, name="k")))
    found = await events(gateway.admin, organisation="a_b")
    assert names(found) == {("organisation", "a_b"), ("key", "a_b/k")}


async def test_rest_filters_alike(gateway: Gateway) -> None:
    found = await town(gateway)
    answer = await found.browsers["owner"]("GET", "/admin/v1/audit?page_size=1000&organisation=acme")
    assert {each["object_name"] for each in answer.json["events"] if each["object_type"] == "key"} == {
        "acme/mine",
        "acme/ci",
    }
    assert (await found.browsers["owner"]("GET", "/admin/v1/audit?organisation=other")).status == 404
    assert (await found.browsers["viewer"]("GET", "/admin/v1/audit")).status == 403
