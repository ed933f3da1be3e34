"""The settings of the gateway: a single object, which two managers may want."""

from __future__ import annotations

import json
from typing import Any, TypedDict

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2

from tests.xds_server.admin.conftest import Admin
from tests.xds_server.admin.test_apply import apply, kinds, whole
from tests.xds_server.admin.test_managers import refused, reported
from xds_server.model import Cors, DefaultModel, Gateway, SectionManager
from xds_server.store import AuditQuery

APP = "https://app.example.com"
STORE = "redis://cache.example"


class _Sections(TypedDict):
    cache: pb.SharedCache
    alerts: pb.Alerting
    accounts: pb.Accounts


#: The sections that always exist.
SECTIONS: _Sections = {"cache": pb.SharedCache(store="memory"), "alerts": pb.Alerting(), "accounts": pb.Accounts()}
NEVER_WRITTEN = pb.Gateway(cors=pb.Cors(), **SECTIONS)


def gateway(*origins: str, model: str = "omni", **fields: Any) -> pb.Gateway:
    """Returns the gateway as it is shown, with this manager for both sections."""
    defaults = [policy_pb2.DefaultModel(endpoint="moderations", model=model)]
    if manager := fields.get("managed_by"):
        fields["managers"] = [pb.SectionManager(section=each, managed_by=manager) for each in ("cors", "defaults")]
    return pb.Gateway(cors=pb.Cors(origins=origins), defaults=defaults, **{**SECTIONS, **fields})


async def put(admin: Admin, wanted: pb.Gateway, *, take_over: bool = False) -> pb.Gateway:
    stub = admin.stub.taking_over() if take_over else admin.stub
    stored: pb.Gateway = (await stub.PutGateway(pb.PutGatewayRequest(gateway=wanted))).gateway
    return stored


async def get(admin: Admin) -> pb.Gateway:
    found: pb.Gateway = (await admin.stub.GetGateway(pb.GetGatewayRequest())).gateway
    return found


async def test_what_is_put_is_stored_shown_and_audited(admin: Admin) -> None:
    assert await get(admin) == NEVER_WRITTEN
    stored = await put(admin, gateway(APP))
    assert stored == gateway(APP, version=1, managed_by="api") == await get(admin)
    managers = tuple(SectionManager(each, "api") for each in ("cors", "defaults"))
    held = Gateway(Cors((APP,)), (DefaultModel("moderations", "omni"),), 1, managers)
    assert admin.store.load().gateway == held
    (event,) = admin.store.audit_events(AuditQuery(object_type="gateway"))
    assert (event.object_name, event.action) == ("gateway", "update")
    exported = (await admin.stub.Export(pb.ExportRequest())).document.gateway
    assert exported == gateway(APP, managed_by="api")
    assert not (await admin.stub.Export(pb.ExportRequest(managed_by="file"))).document.gateway.defaults


async def test_an_origin_is_stored_as_browsers_send_it(admin: Admin) -> None:
    given = ("HTTPS://App.Example.com:443", "http://[::1]:3000", "http://*.Example.org:*", "null", "*")
    stored = await put(admin, gateway(*given))
    assert list(stored.cors.origins) == [APP, "http://[::1]:3000", "http://*.example.org:*", "null", "*"]


async def test_two_changes_at_once(admin: Admin) -> None:
    await put(admin, gateway(APP))
    stale = gateway(version=1)
    await put(admin, stale)
    for wanted in (stale, gateway()):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await put(admin, wanted)
        assert caught.value.code() in {grpc.StatusCode.ABORTED, grpc.StatusCode.ALREADY_EXISTS}
    assert not (await get(admin)).cors.origins


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (None, "gateway: missing"),
        (gateway("https://*"), "gateway.cors.origins[0]: "),
        (gateway("https://a.*.example"), "gateway.cors.origins[0]: "),
        (gateway("https://user@a.example"), "gateway.cors.origins[0]: "),
        (gateway(APP, "a.example\nb"), "gateway.cors.origins[1]: "),
        (pb.Gateway(cors=pb.Cors(max_age_seconds=1 << 31)), "gateway.cors.max_age_seconds: "),
        (gateway(model=""), "gateway.defaults[0].model: "),
        (gateway(cache=pb.SharedCache(store="disk")), "gateway.cache.store: not the address of a store"),
        (gateway(cache=pb.SharedCache(store="redis://u:secret@host")), "gateway.cache.store: not the address"),
        (gateway(cache=pb.SharedCache(most_bytes=2**41)), "gateway.cache.most_bytes: "),
        (
            gateway(cache=pb.SharedCache(password="secret")),
            "gateway.cache.password: accepted only with",
        ),
        (gateway(cache=pb.SharedCache(store=STORE, password="a\nb")), "gateway.cache.password: this value is not"),
        (
            gateway(cache=pb.SharedCache(store=STORE, password="secret", clear_password=True)),
            "gateway.cache.clear_password: accepted only without",
        ),
        (
            gateway(cache=pb.SharedCache(store=STORE, ca_file="/ca.pem")),
            "gateway.cache.ca_file: accepted only with",
        ),
        (
            gateway(cache=pb.SharedCache(store="rediss://a", ca_file="ca")),
            "gateway.cache.ca_file: accepted: ",
        ),
        (
            pb.Gateway(defaults=[*gateway().defaults, *gateway().defaults]),
            "gateway.defaults[1].endpoint: the same",
        ),
    ],
)
async def test_what_is_not_accepted(admin: Admin, wanted: pb.Gateway | None, problem: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admin.stub.PutGateway(pb.PutGatewayRequest(gateway=wanted))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).startswith(problem)


def in_store(store: str = STORE, **fields: Any) -> pb.Gateway:
    return gateway(cache=pb.SharedCache(store=store, **fields))


async def put_over(admin: Admin, wanted: pb.Gateway) -> pb.Gateway:
    """Replaces the settings, whatever is stored."""
    wanted.version = (await get(admin)).version
    return await put(admin, wanted)


async def test_the_stores_password_goes_in_and_stays_inside(admin: Admin) -> None:
    stored = await put_over(admin, in_store(password="secret-1"))
    assert (stored.cache.has_password, stored.cache.password) == (True, "")
    assert admin.store.load().gateway.cache_password == "secret-1"
    renewed = await put_over(admin, in_store(password="secret-2", most_bytes=0))
    exported = await admin.stub.Export(pb.ExportRequest())
    events = admin.store.audit_events(AuditQuery(object_type="gateway"))
    assert [json.loads(each.after)["cache_password"] for each in events] == ["***", "***"]
    for shown in (stored, renewed, exported, *events, repr(admin.store.load().gateway)):
        assert "secret" not in str(shown)


async def test_the_stores_password_stays_where_it_is_not_named(admin: Admin) -> None:
    await put_over(admin, in_store(password="secret"))
    stored = await put_over(admin, in_store(f"{STORE}/3", most_bytes=7))
    assert stored.cache.has_password
    await apply(admin, pb.Document(gateway=in_store(f"{STORE}/4")), take_over=True)
    assert admin.store.load().gateway.cache_password == "secret"
    assert not (await whole(admin, pb.Document(gateway=in_store(f"{STORE}/4")))).changes


@pytest.mark.parametrize(
    "address", ["redis://cache.example:6380", "rediss://cache.example", "redis://u@cache.example"]
)
async def test_it_goes_to_no_other_address(admin: Admin, address: str) -> None:
    await put_over(admin, in_store(password="secret"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await put_over(admin, in_store(address))
    assert str(caught.value.details()).startswith(
        "gateway.cache.store: the stored password was given for redis://"
    )
    await put_over(admin, in_store(address, password="other"))
    assert admin.store.load().gateway.cache_password == "other"


async def test_it_is_removed_where_that_is_said_or_answers_are_kept_in_memory(admin: Admin) -> None:
    for wanted in (in_store(clear_password=True), gateway()):
        await put_over(admin, in_store(password="secret"))
        assert not (await put_over(admin, wanted)).cache.has_password
        assert admin.store.load().gateway.cache_password == ""


async def test_a_file_leaves_what_the_api_manages_until_it_takes_over(admin: Admin) -> None:
    await put(admin, gateway(APP))
    wanted = pb.Document(gateway=gateway(model="other"))
    response = await apply(admin, wanted)
    assert reported(response) == [("MANAGED_ELSEWHERE", "gateway", "gateway")]
    assert {each.field for each in response.conflicts[0].fields} == {"cors", "defaults"}
    assert await get(admin) == gateway(APP, version=1, managed_by="api")

    assert kinds(await apply(admin, wanted, take_over=True)) == [("UPDATE", "gateway", "gateway")]
    assert (await get(admin)).managed_by == "file:trunkline"
    assert not (await whole(admin, wanted)).changes
    said = await refused(put(admin, gateway(APP, version=2)))
    assert 'is managed by the file "trunkline"' in said
    stored = await put(admin, gateway(APP, version=2), take_over=True)
    assert (stored.managed_by, list(stored.cors.origins)) == ("api", [APP])


def sections(found: pb.Gateway) -> dict[str, str]:
    """Returns the manager of each section."""
    return {each.section: each.managed_by for each in found.managers}


async def test_each_section_has_a_manager_of_its_own(admin: Admin) -> None:
    await put(admin, pb.Gateway(cors=pb.Cors(origins=[APP])))
    accounts = pb.Accounts(console_url="https://console.example")
    response = await apply(admin, pb.Document(gateway=pb.Gateway(accounts=accounts)))
    assert reported(response) == []
    found = await get(admin)
    assert (list(found.cors.origins), found.accounts) == ([APP], accounts)
    assert sections(found) == {"cors": "api", "accounts": "file:trunkline"}
    assert found.managed_by == ""
    # Another file has its own section, and a file without a section leaves that section alone.
    issuer = pb.JwtIssuer(
        name="corp", issuer="https://a.example", audiences=["x"], grants=[pb.JwtGrant(organisation="o", key="k")]
    )
    assert (
        reported(await apply(admin, pb.Document(gateway=pb.Gateway(jwt=[issuer])), managed_by="file:edge")) == []
    )
    assert reported(await apply(admin, pb.Document(gateway=pb.Gateway(accounts=accounts)))) == []
    found = await get(admin)
    assert sections(found) == {"cors": "api", "accounts": "file:trunkline", "jwt": "file:edge"}
    exported = (await admin.stub.Export(pb.ExportRequest(managed_by="file:edge"))).document.gateway
    assert [each.name for each in exported.jwt] == ["corp"]
    assert (list(exported.cors.origins), exported.accounts.console_url) == ([], "")
    # Another manager's section is a conflict; the rest is applied.
    wanted = pb.Gateway(accounts=pb.Accounts(sso_only=True), cors=pb.Cors(origins=["*"]))
    response = await apply(admin, pb.Document(gateway=wanted))
    assert reported(response) == [("MANAGED_ELSEWHERE", "gateway", "gateway")]
    assert ([each.field for each in response.conflicts[0].fields], response.conflicts[0].managed_by) == (
        ["cors"],
        "api",
    )
    assert ((await get(admin)).accounts.sso_only, list((await get(admin)).cors.origins)) == (True, [APP])


async def test_a_section_that_is_named_is_emptied(admin: Admin) -> None:
    await apply(admin, pb.Document(gateway=gateway(APP)))
    for named, left in (([], 1), (["providers", "cors"], 1), (["defaults"], 0)):
        await apply(admin, pb.Document(gateway=pb.Gateway(cors=pb.Cors(origins=[APP]))), sections=named)
        assert len((await get(admin)).defaults) == left
    assert list((await get(admin)).cors.origins) == [APP]


async def test_the_api_changes_what_no_file_has(admin: Admin) -> None:
    await apply(admin, pb.Document(gateway=pb.Gateway(cors=pb.Cors(origins=[APP]))))
    stored = await get(admin)
    stored.accounts.sso_only = True
    assert sections(await put(admin, stored)) == {"cors": "file:trunkline", "accounts": "api"}
    stored = await get(admin)
    stored.cors.origins[:] = ["*"]
    assert 'gateway "cors" is managed by the file "trunkline"' in await refused(put(admin, stored))


async def test_two_files(admin: Admin) -> None:
    await apply(admin, pb.Document(gateway=gateway(APP)))
    other = await apply(
        admin, pb.Document(gateway=gateway()), managed_by="file:edge", sections=["cors", "defaults"]
    )
    assert reported(other) == [("MANAGED_ELSEWHERE", "gateway", "gateway")]
    assert other.conflicts[0].managed_by == "file:trunkline"
    # A file without either section leaves it alone, also one that prunes.
    assert not (await whole(admin, pb.Document())).changes
    assert (await get(admin)).managed_by == "file:trunkline"


async def test_a_file_that_says_nothing_new_manages_nothing(admin: Admin) -> None:
    assert not (await apply(admin, pb.Document(gateway=pb.Gateway()))).changes
    assert await get(admin) == NEVER_WRITTEN
    assert (await put(admin, gateway())).managed_by == "api"
