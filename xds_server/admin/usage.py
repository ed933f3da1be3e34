"""The Admin service's usage reports and the audit log's verification."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class UsageMethods(admin_pb2_grpc.AdminServicer):
    """The part of the service that reads the ledger."""

    async def VerifyAudit(self, request: pb.VerifyAuditRequest, context: Context) -> pb.VerifyAuditResponse:
        return await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def ReportUsage(self, request: pb.ReportUsageRequest, context: Context) -> pb.ReportUsageResponse:
        return await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def TopRequests(self, request: pb.TopRequestsRequest, context: Context) -> pb.TopRequestsResponse:
        return await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def CompareTargets(
        self, request: pb.CompareTargetsRequest, context: Context
    ) -> pb.CompareTargetsResponse:
        return await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def ExportUsage(
        self, request: pb.ExportUsageRequest, context: Context
    ) -> AsyncIterator[pb.ExportUsageResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)
        yield pb.ExportUsageResponse()
