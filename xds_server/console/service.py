"""trunkline.admin.v1.Console: each view in one call, made of calls of the Admin service in the caller's name."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import time
from importlib import metadata
from typing import Any, TypeAlias

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc, console_pb2 as views, console_pb2_grpc

from xds_server.admin.calls import reporting
from xds_server.admin.problems import checking
from xds_server.resources.settings import EdgeSettings

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_DAY = 86_400
_OVERVIEW_DAYS = 14
_MONTH = 30 * _DAY
#: Up to here a view of usage is by hour.
_HOURLY = 3 * _DAY
_MOST_GROUPS = 200
_HEAVIEST = 10
_MOST_DIMENSIONS = 2


class ConsoleService(console_pb2_grpc.ConsoleServicer):
    """Reads what `admin` gives this caller; `edge` says where clients call."""

    def __init__(self, admin: admin_pb2_grpc.AdminServicer, edge: EdgeSettings, *, nodes: bool) -> None:
        self._admin: Any = admin
        self._edge = edge
        self._nodes = nodes

    @reporting
    async def GetOverview(self, request: views.GetOverviewRequest, context: Context) -> views.GetOverviewResponse:
        admin, now = self._admin, int(time.time())
        providers = (await admin.ListProviders(pb.ListProvidersRequest(), context)).providers
        routes = (await admin.ListRoutes(pb.ListRoutesRequest(), context)).routes
        nodes = (await admin.ListNodes(pb.ListNodesRequest(), context)).nodes
        keys = (await admin.ListKeys(pb.ListKeysRequest(), context)).keys
        organisations = (await admin.ListOrganisations(pb.ListOrganisationsRequest(), context)).organisations
        status = await admin.GetStatus(pb.GetStatusRequest(), context)
        lately = pb.UsageFilter(since=now - now % _DAY - (_OVERVIEW_DAYS - 1) * _DAY)
        days = await admin.ReportUsage(pb.ReportUsageRequest(filter=lately, by=[pb.DIMENSION_DAY]), context)
        return views.GetOverviewResponse(
            clients=self._clients(),
            providers=len(providers),
            credentials=sum(each.credential_count for each in providers),
            organisations=len(organisations),
            keys=len(keys),
            models=sorted({each.model for each in routes}),
            nodes=len(nodes),
            nodes_online=sum(each.state in {"online", "owner-only"} for each in nodes),
            nodes_invited=self._nodes,
            days=days.rows,
            problems=status.problems,
            revision=status.revision,
            version=metadata.version("trunkline"),
        )

    @reporting
    async def GetKeysView(self, request: views.GetKeysViewRequest, context: Context) -> views.GetKeysViewResponse:
        admin = self._admin
        wanted = pb.ListKeysRequest(include_revoked=request.include_revoked)
        routes = (await admin.ListRoutes(pb.ListRoutesRequest(), context)).routes
        return views.GetKeysViewResponse(
            keys=(await admin.ListKeys(wanted, context)).keys,
            organisations=(await admin.ListOrganisations(pb.ListOrganisationsRequest(), context)).organisations,
            models=sorted({each.model for each in routes}),
            usage=(await admin.ReportUsage(_lately(_MONTH, pb.DIMENSION_KEY), context)).rows,
            clients=self._clients(),
        )

    @reporting
    async def GetModelsView(
        self, request: views.GetModelsViewRequest, context: Context
    ) -> views.GetModelsViewResponse:
        admin = self._admin
        routes = (await admin.ListRoutes(pb.ListRoutesRequest(), context)).routes
        explained = [
            await admin.ExplainRoute(
                pb.ExplainRouteRequest(model=each.model, organisation=each.organisation), context
            )
            for each in sorted(routes, key=lambda each: (each.model, each.organisation))
        ]
        nodes = (await admin.ListNodes(pb.ListNodesRequest(), context)).nodes
        organisations = (await admin.ListOrganisations(pb.ListOrganisationsRequest(), context)).organisations
        providers = (await admin.ListProviders(pb.ListProvidersRequest(), context)).providers
        return views.GetModelsViewResponse(
            routes=explained,
            providers=[each.name for each in providers],
            organisations=[each.name for each in organisations],
            offered=sorted({offer.model for each in nodes for offer in each.offers}),
        )

    @reporting
    async def GetProvidersView(
        self, request: views.GetProvidersViewRequest, context: Context
    ) -> views.GetProvidersViewResponse:
        admin = self._admin
        return views.GetProvidersViewResponse(
            providers=(await admin.ListProviders(pb.ListProvidersRequest(), context)).providers,
            usage=(await admin.ReportUsage(_lately(_DAY, pb.DIMENSION_PROVIDER), context)).rows,
            routes=(await admin.ListRoutes(pb.ListRoutesRequest(), context)).routes,
        )

    @reporting
    async def GetNodesView(
        self, request: views.GetNodesViewRequest, context: Context
    ) -> views.GetNodesViewResponse:
        admin = self._admin
        lately = pb.ReportContributionsRequest(since=int(time.time()) - _MONTH, by=["node"])
        organisations = (await admin.ListOrganisations(pb.ListOrganisationsRequest(), context)).organisations
        return views.GetNodesViewResponse(
            nodes=(await admin.ListNodes(pb.ListNodesRequest(), context)).nodes,
            organisations=[each.name for each in organisations],
            contributions=(await admin.ReportContributions(lately, context)).rows,
            nodes_invited=self._nodes,
        )

    @reporting
    async def GetUsageView(
        self, request: views.GetUsageViewRequest, context: Context
    ) -> views.GetUsageViewResponse:
        with checking() as problems:
            if not request.filter.since:
                problems.at("filter.since").note("missing")
            if not 1 <= len(request.by) <= _MOST_DIMENSIONS:
                problems.at("by").note(f"{len(request.by)} are not accepted; accepted: one or two")
        now = _copy(request.filter)
        now.until = now.until or int(time.time())
        before = _copy(now)
        before.since, before.until = max(0, 2 * now.since - now.until), now.since
        moment = pb.DIMENSION_HOUR if now.until - now.since <= _HOURLY else pb.DIMENSION_DAY

        async def rows(wanted: pb.UsageFilter, by: list[pb.Dimension.ValueType]) -> list[pb.UsageRow]:
            answer = await self._admin.ReportUsage(pb.ReportUsageRequest(filter=wanted, by=by), context)
            return list(answer.rows)

        groups = sorted(await rows(now, list(request.by)), key=lambda each: -each.cost_nano_usd)
        shown = groups[:_MOST_GROUPS]
        values = {tuple(each.values) for each in shown}
        top = pb.TopRequestsRequest(filter=now, limit=_HEAVIEST)
        totals = await self._admin.ReportUsage(pb.ReportUsageRequest(filter=now), context)
        return views.GetUsageViewResponse(
            total=next(iter(totals.rows), None),
            total_before=next(iter(await rows(before, [])), None),
            rows=shown,
            rows_before=[each for each in await rows(before, list(request.by)) if tuple(each.values) in values],
            groups=len(groups),
            times=await rows(now, [moment]),
            times_before=await rows(before, [moment]),
            heaviest=(await self._admin.TopRequests(top, context)).records,
            targets=(await self._admin.CompareTargets(pb.CompareTargetsRequest(filter=now), context)).targets,
            refused_records=totals.refused_records,
            since=now.since,
            until=now.until,
        )

    def _clients(self) -> views.ClientsAddress:
        host, port = self._edge.openai_listen
        scheme = "http" if self._edge.listener_tls is None else "https"
        return views.ClientsAddress(scheme=scheme, host=host, port=port)


def _lately(seconds: int, by: pb.Dimension.ValueType) -> pb.ReportUsageRequest:
    return pb.ReportUsageRequest(filter=pb.UsageFilter(since=int(time.time()) - seconds), by=[by])


def _copy(wanted: pb.UsageFilter) -> pb.UsageFilter:
    copy = pb.UsageFilter()
    copy.CopyFrom(wanted)
    return copy
