"""Implements trunkline.admin.v1.Console: each view is one call, made of calls of the Admin service in the caller's
name, and only of those that the caller's role allows.
"""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import time
from collections.abc import Iterable
from importlib import metadata
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message
from trunkline_proto.admin.v1 import (
    accounts_pb2 as accounts,
    admin_pb2 as pb,
    admin_pb2_grpc,
    console_pb2 as views,
    console_pb2_grpc,
)
from trunkline_proto.policy.endpoints import ENDPOINTS

from xds_server.accounts import permissions
from xds_server.accounts.caller import current
from xds_server.accounts.model import Role
from xds_server.admin.problems import checking
from xds_server.resources.settings import EdgeSettings
from xds_server.rpc.reporting import reporting
from xds_server.usage import records

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_DAY = 86_400
_OVERVIEW_DAYS = 14
_MONTH = 30 * _DAY
#: Up to this length a view of usage is by hour.
_HOURLY = 3 * _DAY
_MAX_GROUPS = 200
_HEAVIEST = 10
#: Records that are looked at for the heaviest requests: a tenth of a second.
_MAX_RECORDS = 100_000
_MAX_DIMENSIONS = 2


class ConsoleService(console_pb2_grpc.ConsoleServicer):
    """Reads what `admin` gives this caller; `edge` has the address that clients call."""

    def __init__(self, admin: admin_pb2_grpc.AdminServicer, edge: EdgeSettings, *, nodes: bool) -> None:
        self._admin = admin
        self._edge = edge
        self._nodes = nodes

    @reporting
    async def GetDoor(self, request: views.GetDoorRequest, context: Context) -> views.GetDoorResponse:
        """Returns what the console needs before anything else: the ways to sign in, and the caller if there is
        one.
        """
        ask = _AdminCalls(self._admin, context)
        return views.GetDoorResponse(
            options=await ask(accounts.GetSignInOptionsRequest()),
            me=await ask(accounts.GetMeRequest()) if current().is_somebody else None,
        )

    @reporting
    async def GetOverview(self, request: views.GetOverviewRequest, context: Context) -> views.GetOverviewResponse:
        """Returns the counts, the usage of the last days and the state for the first page."""
        ask, now = _AdminCalls(self._admin, context), int(time.time())
        lately = pb.UsageFilter(since=now - now % _DAY - (_OVERVIEW_DAYS - 1) * _DAY)
        routes = (await ask(pb.ListRoutesRequest())).routes
        nodes = (await ask(pb.ListNodesRequest())).nodes
        overview = views.GetOverviewResponse(
            clients=self._clients(),
            organisations=len((await ask(pb.ListOrganisationsRequest())).organisations),
            keys=len((await ask(pb.ListKeysRequest())).keys),
            models=sorted({each.model for each in routes}),
            nodes=len(nodes),
            nodes_online=sum(each.state in {"online", "owner-only"} for each in nodes),
            nodes_invited=self._nodes,
            days=(await ask(pb.ReportUsageRequest(filter=lately, by=[pb.DIMENSION_DAY]))).rows,
            version=metadata.version("trunkline"),
        )
        if current().is_admin:
            providers = (await ask(pb.ListProvidersRequest())).providers
            status = await ask(pb.GetStatusRequest())
            overview.providers = len(providers)
            overview.credentials = sum(each.credential_count for each in providers)
            overview.revision = status.revision
            overview.problems.extend(status.problems)
            overview.problem_codes.extend(status.problem_codes)
        return overview

    @reporting
    async def GetKeysView(self, request: views.GetKeysViewRequest, context: Context) -> views.GetKeysViewResponse:
        """Returns the keys with the usage of a month."""
        ask = _AdminCalls(self._admin, context)
        routes = (await ask(pb.ListRoutesRequest())).routes
        return views.GetKeysViewResponse(
            keys=(await ask(pb.ListKeysRequest(include_revoked=request.include_revoked))).keys,
            organisations=(await ask(pb.ListOrganisationsRequest())).organisations,
            models=sorted({each.model for each in routes}),
            usage=(await ask(_lately(_MONTH, pb.DIMENSION_KEY))).rows,
            clients=self._clients(),
        )

    @reporting
    async def GetModelsView(
        self, request: views.GetModelsViewRequest, context: Context
    ) -> views.GetModelsViewResponse:
        """Returns the routes, each explained; the providers for admins only."""
        ask = _AdminCalls(self._admin, context)
        routes = sorted(
            (await ask(pb.ListRoutesRequest())).routes, key=lambda each: (each.model, each.organisation)
        )
        explained = [
            await ask(pb.ExplainRouteRequest(model=each.model, organisation=each.organisation)) for each in routes
        ]
        nodes = (await ask(pb.ListNodesRequest())).nodes
        organisations = (await ask(pb.ListOrganisationsRequest())).organisations
        is_admin = current().is_admin
        providers = (await ask(pb.ListProvidersRequest())).providers if is_admin else []
        return views.GetModelsViewResponse(
            routes=explained,
            providers=[each.name for each in providers],
            organisations=[each.name for each in organisations],
            offered=sorted({offer.model for each in nodes for offer in each.offers}),
            clients=self._clients(),
            rests=(await ask(pb.GetStatusRequest())).rests if is_admin else [],
        )

    @reporting
    async def GetProvidersView(
        self, request: views.GetProvidersViewRequest, context: Context
    ) -> views.GetProvidersViewResponse:
        """Returns the providers with their usage of a day, the routes that use them, and their quotas."""
        ask = _AdminCalls(self._admin, context)
        return views.GetProvidersViewResponse(
            providers=(await ask(pb.ListProvidersRequest())).providers,
            usage=(await ask(_lately(_DAY, pb.DIMENSION_PROVIDER))).rows,
            routes=(await ask(pb.ListRoutesRequest())).routes,
            headroom=(await ask(pb.ListQuotasRequest())).credentials,
        )

    @reporting
    async def GetNodesView(
        self, request: views.GetNodesViewRequest, context: Context
    ) -> views.GetNodesViewResponse:
        """Returns the nodes with what they served in a month."""
        ask = _AdminCalls(self._admin, context)
        lately = pb.ReportContributionsRequest(since=int(time.time()) - _MONTH, by=["node"])
        organisations = (await ask(pb.ListOrganisationsRequest())).organisations
        return views.GetNodesViewResponse(
            nodes=(await ask(pb.ListNodesRequest())).nodes,
            organisations=[each.name for each in organisations],
            contributions=(await ask(lately)).rows,
            nodes_invited=self._nodes,
        )

    @reporting
    async def GetMembersView(
        self, request: views.GetMembersViewRequest, context: Context
    ) -> views.GetMembersViewResponse:
        """Returns users and invitations, and the organisations that the caller owns."""
        ask, caller = _AdminCalls(self._admin, context), current()
        organisations = (await ask(pb.ListOrganisationsRequest())).organisations
        return views.GetMembersViewResponse(
            users=(await ask(accounts.ListUsersRequest())).users,
            invitations=(await ask(accounts.ListInvitationsRequest())).invitations,
            organisations=[each.name for each in organisations if caller.role_in(each.name) is Role.OWNER],
        )

    @reporting
    async def GetSettingsView(
        self, request: views.GetSettingsViewRequest, context: Context
    ) -> views.GetSettingsViewResponse:
        """Returns the gateway's settings, and the names that its forms offer."""
        ask = _AdminCalls(self._admin, context)
        organisations = (await ask(pb.ListOrganisationsRequest())).organisations
        return views.GetSettingsViewResponse(
            gateway=(await ask(pb.GetGatewayRequest())).gateway,
            organisations=[each.name for each in organisations],
            models=sorted({each.model for each in (await ask(pb.ListRoutesRequest())).routes}),
            endpoints=ENDPOINTS,
        )

    @reporting
    async def GetUsageView(
        self, request: views.GetUsageViewRequest, context: Context
    ) -> views.GetUsageViewResponse:
        """Returns the usage of a period and of the one before it, by one or two dimensions."""
        with checking() as problems:
            if not request.filter.since:
                problems.at("filter.since").note("missing")
            if not 1 <= len(request.by) <= _MAX_DIMENSIONS:
                problems.at("by").note(f"{len(request.by)} are not accepted; accepted: one or two")
        ask = _AdminCalls(self._admin, context)
        now, before = _periods(request.filter)
        moment = pb.DIMENSION_HOUR if now.until - now.since <= _HOURLY else pb.DIMENSION_DAY

        async def rows(wanted: pb.UsageFilter, *by: pb.Dimension.ValueType) -> list[pb.UsageRow]:
            return list((await ask(pb.ReportUsageRequest(filter=wanted, by=by))).rows)

        groups = sorted(await rows(now, *request.by), key=lambda each: -each.cost_nano_usd)
        shown = groups[:_MAX_GROUPS]
        values = {tuple(each.values) for each in shown}
        view = views.GetUsageViewResponse(
            rows=shown,
            rows_before=[each for each in await rows(before, *request.by) if tuple(each.values) in values],
            groups=len(groups),
            since=now.since,
            until=now.until,
        )
        if request.rows_only:
            return view
        lately = pb.UsageFilter()
        lately.CopyFrom(now)
        # Targets change. From the beginning of a day on, because days are summed up and hours are not.
        lately.since = max(now.since, -((_MONTH - now.until) // _DAY) * _DAY)
        heaviest = await ask(pb.TopRequestsRequest(filter=now, limit=_HEAVIEST, most_records=_MAX_RECORDS))
        by_time = await ask(pb.ReportUsageRequest(filter=now, by=[moment]))
        times_before = await rows(before, moment)
        view.MergeFrom(
            views.GetUsageViewResponse(
                total=_sum(by_time.rows),
                total_before=_sum(times_before),
                times=by_time.rows,
                times_before=times_before,
                heaviest=heaviest.records,
                heaviest_since=heaviest.complete_since,
                targets=(await ask(pb.CompareTargetsRequest(filter=lately))).targets,
                refused_records=by_time.refused_records,
            )
        )
        return view

    def _clients(self) -> views.ClientsAddress:
        host, port = self._edge.openai_listen
        scheme = "http" if self._edge.listener_tls is None else "https"
        return views.ClientsAddress(scheme=scheme, host=host, port=port)


class _AdminCalls:
    """Calls methods of the Admin service by their requests, as the view's caller."""

    def __init__(self, admin: admin_pb2_grpc.AdminServicer, context: Context) -> None:
        self._admin = admin
        self._context = context

    async def __call__(self, request: Message) -> Any:
        """Returns the answer. Raises what permissions.require raises, and the abort of the inner call."""
        method = request.DESCRIPTOR.name.removesuffix("Request")
        permissions.require(permissions.rule_of(method), current(), request)
        return await getattr(self._admin, method)(request, self._context)


def _lately(seconds: int, by: pb.Dimension.ValueType) -> pb.ReportUsageRequest:
    return pb.ReportUsageRequest(filter=pb.UsageFilter(since=int(time.time()) - seconds), by=[by])


def _sum(rows: Iterable[pb.UsageRow]) -> pb.UsageRow:
    """Returns one row of totals, so that the ledger need not go through the time range again."""
    total = pb.UsageRow()
    for row in rows:
        for field, value in row.ListFields():
            if not field.is_repeated:
                setattr(total, field.name, getattr(total, field.name) + value)
    total.cost_micro_usd = records.micro_usd(total.cost_nano_usd)
    return total


def _periods(wanted: pb.UsageFilter) -> tuple[pb.UsageFilter, pb.UsageFilter]:
    """Returns the requested time range, with its end, and the range of the same length before it."""
    now, before = pb.UsageFilter(), pb.UsageFilter()
    now.CopyFrom(wanted)
    now.until = now.until or int(time.time())
    before.CopyFrom(now)
    before.since, before.until = max(0, 2 * now.since - now.until), now.since
    return now, before
