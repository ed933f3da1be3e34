"""The Admin service's usage reports and the audit log's verification."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeAlias

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc

from xds_server.accounts.caller import current
from xds_server.admin import former_names, values
from xds_server.admin.problems import Problems, checking
from xds_server.ledger.query import Dimension, Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.reports import Comparison, Group
from xds_server.ledger.rollup import SUMS
from xds_server.messages import member
from xds_server.rpc.reporting import reporting, reporting_stream
from xds_server.store import AsyncStore
from xds_server.usage import records

_ORDERS = {
    pb.TopRequestsRequest.ORDER_UNSPECIFIED: "cost_nano_usd",
    pb.TopRequestsRequest.ORDER_COST: "cost_nano_usd",
    pb.TopRequestsRequest.ORDER_TOKENS: "tokens",
    pb.TopRequestsRequest.ORDER_DURATION: "duration_us",
}
_TOP, _MAX_TOP = 20, 1_000
_REFUSED, _MAX_REFUSED = 100, 1_000
_MAX_LENGTH = 512

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class UsageMethods(admin_pb2_grpc.AdminServicer):
    """The part of the service that reads the ledger and the audit log's chain."""

    _store: AsyncStore
    _ledger: LedgerReader

    @reporting
    async def VerifyAudit(self, request: pb.VerifyAuditRequest, context: Context) -> pb.VerifyAuditResponse:
        """Verifies the hash chain of the audit log from its beginning."""
        verdict = await self._store.verify_audit()
        return pb.VerifyAuditResponse(
            intact=not verdict.first_broken,
            events=verdict.events,
            first_broken_id=verdict.first_broken,
            head=verdict.head.hex(),
        )

    @reporting
    async def ReportUsage(self, request: pb.ReportUsageRequest, context: Context) -> pb.ReportUsageResponse:
        """Reports sums of the usage that the caller may read. Refused records are counted for admins only."""
        with checking() as problems:
            by = _dimensions(request.by, problems)
        groups = await self._ledger.report(await self._filter(request.filter), by)
        refused = (await self._ledger.refused(0))[1] if current().is_admin else 0
        return pb.ReportUsageResponse(rows=map(_row, groups), refused_records=refused)

    @reporting
    async def TopRequests(self, request: pb.TopRequestsRequest, context: Context) -> pb.TopRequestsResponse:
        """Returns the heaviest requests, of all or of the newest `most_records`."""
        with checking() as problems:
            values.number(request.limit, 0, _MAX_TOP, f"(0 = {_TOP})", problems.at("limit"))
            if request.order not in _ORDERS:
                problems.at("order").note("not a known value; accepted: ORDER_COST, ORDER_TOKENS, ORDER_DURATION")
        wanted = await self._filter(request.filter)
        order, limit = _ORDERS[request.order], request.limit or _TOP
        if not request.most_records:
            return pb.TopRequestsResponse(
                records=map(records.record, await self._ledger.top(wanted, order, limit))
            )
        found = await self._ledger.newest_top(wanted, order, limit, request.most_records)
        return pb.TopRequestsResponse(records=map(records.record, found.rows), complete_since=found.complete_since)

    @reporting
    async def CompareTargets(
        self, request: pb.CompareTargetsRequest, context: Context
    ) -> pb.CompareTargetsResponse:
        """Compares the targets of a model by the usage that the caller may read."""
        compared = await self._ledger.compare(await self._filter(request.filter))
        return pb.CompareTargetsResponse(targets=map(_comparison, compared))

    @reporting_stream
    async def ExportUsage(
        self, request: pb.ExportUsageRequest, context: Context
    ) -> AsyncIterator[pb.ExportUsageResponse]:
        """Streams records, oldest first, a page in each message."""
        # gRPC asks for the next message when the last one is on its way: a slow reader delays only itself.
        async for rows in self._ledger.export(await self._filter(request.filter)):
            yield pb.ExportUsageResponse(records=map(records.record, rows))

    @reporting
    async def ListRefusedUsage(
        self, request: pb.ListRefusedUsageRequest, context: Context
    ) -> pb.ListRefusedUsageResponse:
        """Returns the newest records that could not be stored, and the number of all."""
        with checking() as problems:
            values.number(request.limit, 0, _MAX_REFUSED, f"(0 = {_REFUSED})", problems.at("limit"))
        found, total = await self._ledger.refused(request.limit or _REFUSED)
        return pb.ListRefusedUsageResponse(
            records=[pb.RefusedUsage(**each._asdict()) for each in found], total=total
        )

    async def _filter(self, message: pb.UsageFilter) -> Filter:
        """Parses a filter. Raises InvalidFieldError, NotFoundError."""
        with checking("filter") as problems:
            values.period(message, problems)
            for field in ("organisation", "key_id", "model", "target_id", "tag"):
                if len(getattr(message, field)) > _MAX_LENGTH or "\x00" in getattr(message, field):
                    problems.at(field).note(f"accepted: at most {_MAX_LENGTH} characters, none of them NUL")
        return Filter(
            since=message.since,
            until=message.until,
            organisation_id=await former_names.organisation_id(
                self._ledger, message.organisation, "filter.organisation"
            ),
            # Ids have no `/`.
            key_id=await self._key(message.key_id) if "/" in message.key_id else message.key_id,
            model=message.model,
            target_id=message.target_id,
            tag=message.tag,
            within=current().reads,
        )

    async def _key(self, reference: str) -> str:
        """Returns the id of a key that is named as `organisation/name`; an unknown name stays as it is."""
        _, labels = await self._ledger.names()
        return next((id_ for id_, label in labels.items() if label == reference), reference)


def _dimensions(by: Iterable[int], problems: Problems) -> tuple[Dimension, ...]:
    found: list[Dimension] = []
    for index, number in enumerate(by):
        dimension = member(Dimension, pb.Dimension.DESCRIPTOR, number)
        if dimension is None:
            problems.at("by", index).note(f"not a known value; accepted: {', '.join(Dimension)}")
        elif dimension in found:
            problems.at("by", index).note(f"{dimension} is given twice")
        else:
            found.append(dimension)
    return tuple(found)


def _row(of: Group) -> pb.UsageRow:
    """Renders a row. A roll-up's sums have their own names; some are only for comparisons."""
    fields = pb.UsageRow.DESCRIPTOR.fields_by_name
    sums = {name: value for name, value in zip(SUMS, of.sums, strict=True) if name in fields}
    return pb.UsageRow(
        values=of.values, cost_micro_usd=records.micro_usd(sums["cost_nano_usd"]), **sums, **of.units
    )


def _comparison(of: Comparison) -> pb.TargetComparison:
    sums = dict(zip(SUMS, of.sums, strict=True))
    tokens = sums["prompt_tokens"] + sums["completion_tokens"]
    return pb.TargetComparison(
        target_id=of.target_id,
        requests=sums["requests"],
        cost_per_million=_ratio(sums["cost_nano_usd"] * 1_000, tokens),
        first_byte_p50_us=of.first_byte_p50_us,
        first_byte_p95_us=of.first_byte_p95_us,
        millitokens_per_second=_ratio(sums["answer_tokens"] * 1_000_000_000, sums["answer_us"]),
        error_permille=_ratio(sums["errors"] * 1_000, sums["requests"]),
        # The share of all attempts at this target that failed and went on to another target.
        retry_permille=_ratio(sums["failed_attempts"] * 1_000, sums["requests"] + sums["failed_attempts"]),
    )


def _ratio(part: int, whole: int) -> int:
    """Rounds half up; returns 0 if `whole` is 0."""
    return (2 * part + whole) // (2 * whole) if whole else 0
