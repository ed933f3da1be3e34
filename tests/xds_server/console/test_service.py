"""Each view of the console is one call."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb, console_pb2 as views
from trunkline_proto.ledger.v1 import ledger_pb2

from tests.xds_server.admin.conftest import Clients, Nodes
from tests.xds_server.ledger.conftest import database, key_file, ledger, open_store, reader, store
from xds_server.accounts.caller import MACHINE, Caller, calling
from xds_server.accounts.model import Membership, Role, User
from xds_server.admin import AdminService
from xds_server.console.service import ConsoleService
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.reader import LedgerReader
from xds_server.resources.settings import EdgeSettings, ListenerTls
from xds_server.store import AsyncStore, Store

__all__ = ["database", "key_file", "ledger", "open_store", "reader", "store"]

NOW = int(time.time())
HOUR = 3_600


class AbortedError(grpc.aio.AbortError):
    """Raised when a call is aborted with a status."""


class Context:
    """The context of a call by the admin."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    async def abort(self, code: grpc.StatusCode, message: str) -> None:
        raise AbortedError(code, message)


CONTEXT: Any = Context()


@pytest.fixture(autouse=True)
def caller() -> Iterator[None]:
    with calling(MACHINE):
        yield


@pytest.fixture
def admin(store: Store, reader: LedgerReader) -> AdminService:
    clients = Clients()
    return AdminService(AsyncStore(store), clients, clients, reader, live=Nodes())


@pytest.fixture
def console(admin: AdminService) -> ConsoleService:
    edge = EdgeSettings(openai_listen=("0.0.0.0", 8080), listener_tls=ListenerTls("", ""))
    return ConsoleService(admin, edge, nodes=True)


async def _set_up(admin: Any) -> pb.Key:
    provider = pb.Provider(name="a", base_url="https://a.example.com/v1", credentials=["one", "two"])
    await admin.PutProvider(pb.PutProviderRequest(provider=provider), CONTEXT)
    for model in ("zebra", "ape"):
        route = pb.Route(model=model, targets=[pb.RouteTarget(provider="a", model=model)])
        await admin.PutRoute(pb.PutRouteRequest(route=route), CONTEXT)
    await admin.PutOrganisation(pb.PutOrganisationRequest(organisation=pb.Organisation(name="acme")), CONTEXT)
    made = await admin.CreateKey(pb.CreateKeyRequest(key=pb.Key(organisation="acme", name="ci")), CONTEXT)
    return made.key  # type: ignore[no-any-return]


def _record(number: int, key: pb.Key, at: int, *, model: str = "ape", cost: int = 1_000) -> ledger_pb2.UsageRecord:
    return ledger_pb2.UsageRecord(
        id=f"request-{number}",
        format=1,
        started_at_us=at * 1_000_000,
        organisation_id="org_x",
        key_id=key.id,
        model=model,
        provider="a",
        target_id=f"a/{model}",
        attempts=1,
        status=200,
        cost_nano_usd=cost,
    )


async def _append(ledger: Ledger, *records: ledger_pb2.UsageRecord) -> None:
    await ledger.append(ledger_pb2.AppendRequest(source="translator-t", records=records))


async def test_the_overview_counts_what_there_is(console: Any, admin: Any, ledger: Ledger) -> None:
    empty = await console.GetOverview(views.GetOverviewRequest(), CONTEXT)
    assert (empty.providers, empty.keys, list(empty.models), list(empty.days)) == (0, 0, [], [])
    key = await _set_up(admin)
    await _append(ledger, _record(1, key, NOW), _record(2, key, NOW))
    seen = await console.GetOverview(views.GetOverviewRequest(), CONTEXT)
    assert (seen.providers, seen.credentials, seen.organisations, seen.keys) == (1, 2, 1, 1)
    assert list(seen.models) == ["ape", "zebra"]
    assert [each.requests for each in seen.days] == [2]
    assert (seen.clients.scheme, seen.clients.host, seen.clients.port) == ("https", "0.0.0.0", 8080)
    assert seen.nodes_invited
    assert seen.version


async def test_keys_come_with_what_they_used(console: Any, admin: Any, ledger: Ledger) -> None:
    key = await _set_up(admin)
    await _append(ledger, _record(1, key, NOW))
    seen = await console.GetKeysView(views.GetKeysViewRequest(), CONTEXT)
    assert [each.name for each in seen.keys] == ["ci"]
    assert [(list(each.values), each.cost_nano_usd) for each in seen.usage] == [(["acme/ci"], 1_000)]
    await admin.RevokeKey(pb.RevokeKeyRequest(id=key.id), CONTEXT)
    assert not (await console.GetKeysView(views.GetKeysViewRequest(), CONTEXT)).keys
    assert (await console.GetKeysView(views.GetKeysViewRequest(include_revoked=True), CONTEXT)).keys


async def test_models_providers_and_nodes(console: Any, admin: Any) -> None:
    await _set_up(admin)
    models = await console.GetModelsView(views.GetModelsViewRequest(), CONTEXT)
    assert [(each.route.model, len(each.targets)) for each in models.routes] == [("ape", 1), ("zebra", 1)]
    assert (list(models.providers), list(models.organisations)) == (["a"], ["acme"])
    providers = await console.GetProvidersView(views.GetProvidersViewRequest(), CONTEXT)
    assert [each.credential_count for each in providers.providers] == [2]
    assert not [each for each in providers.providers if each.credentials]
    assert len(providers.routes) == 2
    settings = await console.GetSettingsView(views.GetSettingsViewRequest(), CONTEXT)
    assert (list(settings.organisations), list(settings.models)) == (["acme"], ["ape", "zebra"])
    assert "chat/completions" in settings.endpoints
    nodes = await console.GetNodesView(views.GetNodesViewRequest(), CONTEXT)
    assert (list(nodes.nodes), list(nodes.organisations), nodes.nodes_invited) == ([], ["acme"], True)


def _costs(rows: Iterable[pb.UsageRow]) -> list[tuple[str, int]]:
    return [(each.values[0], each.cost_nano_usd) for each in rows]


async def test_usage_stands_beside_the_time_before(console: Any, admin: Any, ledger: Ledger) -> None:
    key = await _set_up(admin)
    begin = NOW - NOW % HOUR - 23 * HOUR
    await _append(
        ledger,
        _record(1, key, begin + 5 * HOUR, cost=5_000),
        _record(2, key, begin + 6 * HOUR, model="zebra", cost=9_000),
        _record(3, key, begin - HOUR, cost=2_000),
        _record(4, key, begin - 2 * HOUR, model="gone"),
        _record(5, key, begin - 40 * HOUR),
    )
    request = views.GetUsageViewRequest(filter=pb.UsageFilter(since=begin), by=[pb.DIMENSION_MODEL])
    seen = await console.GetUsageView(request, CONTEXT)
    assert _costs(seen.rows) == [("zebra", 9_000), ("ape", 5_000)]
    assert _costs(seen.rows_before) == [("ape", 2_000)]
    assert (seen.total.requests, seen.total_before.requests, seen.groups) == (2, 2, 2)
    assert len(seen.times) == 2
    assert seen.times[0].values[0].endswith(":00:00Z")
    assert [each.id for each in seen.heaviest] == ["request-2", "request-1"]
    assert [each.target_id for each in seen.targets] == ["a/ape", "a/zebra"]
    by_key = views.GetUsageViewRequest(
        filter=pb.UsageFilter(since=begin, until=seen.until), by=[pb.DIMENSION_KEY], rows_only=True
    )
    rows = await console.GetUsageView(by_key, CONTEXT)
    assert [each.cost_nano_usd for each in rows.rows] == [14_000]
    assert (_costs(rows.rows_before), rows.until) == ([("acme/ci", 3_000)], seen.until)
    assert {field.name for field, _ in rows.ListFields()} == {"rows", "rows_before", "groups", "since", "until"}
    wide = views.GetUsageViewRequest(filter=pb.UsageFilter(since=begin - 30 * 24 * HOUR), by=request.by)
    assert {len(each.values[0]) for each in (await console.GetUsageView(wide, CONTEXT)).times} == {
        len("2026-01-01")
    }


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (views.GetUsageViewRequest(by=[pb.DIMENSION_MODEL]), "filter.since: missing"),
        (views.GetUsageViewRequest(filter=pb.UsageFilter(since=1)), "by: 0 are not accepted"),
        (
            views.GetUsageViewRequest(
                filter=pb.UsageFilter(since=1), by=[pb.DIMENSION_MODEL, pb.DIMENSION_KEY, pb.DIMENSION_TAG]
            ),
            "by: 3 are not accepted",
        ),
        (
            views.GetUsageViewRequest(filter=pb.UsageFilter(since=1, model="\0"), by=[pb.DIMENSION_MODEL]),
            "filter.model",
        ),
    ],
)
async def test_a_view_of_usage_says_what_it_needs(
    console: Any, wanted: views.GetUsageViewRequest, said: str
) -> None:
    with pytest.raises(AbortedError) as raised:
        await console.GetUsageView(wanted, CONTEXT)
    code, message = raised.value.args
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said in message


async def test_who_is_no_admin_sees_what_the_role_may(console: Any, admin: Any) -> None:
    await _set_up(admin)
    viewer = Caller(user=User("usr_1", "v@example.org"), memberships=(Membership("org_1", "acme", Role.VIEWER),))
    with calling(viewer):
        overview = await console.GetOverview(views.GetOverviewRequest(), CONTEXT)
        assert (overview.providers, overview.credentials, overview.revision, list(overview.problems)) == (
            0,
            0,
            0,
            [],
        )
        assert not (await console.GetModelsView(views.GetModelsViewRequest(), CONTEXT)).providers
        with pytest.raises(AbortedError) as raised:
            await console.GetProvidersView(views.GetProvidersViewRequest(), CONTEXT)
    assert raised.value.args[0] is grpc.StatusCode.PERMISSION_DENIED
