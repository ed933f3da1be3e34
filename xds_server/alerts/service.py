"""Serves trunkline.limits.v1.Limits: takes what limits have counted, and alerts, from translators."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

from typing import Any, TypeAlias

import grpc
from trunkline_proto.limits.v1 import limits_pb2 as pb, limits_pb2_grpc

from xds_server.alerts.limit_counts import LimitCounts
from xds_server.alerts.sender import AlertSender
from xds_server.errors import InvalidFieldError, UnauthenticatedError
from xds_server.rpc.authorise import WHAT_IS_NEEDED, Authorise, anyone
from xds_server.rpc.reporting import reporting

#: For TokenInterceptor: this service checks the token itself, because it knows the peer.
SERVICE = pb.DESCRIPTOR.services_by_name["Limits"].full_name
_MAX = 1_000
_MAX_TEXT = 1_000

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class LimitsService(limits_pb2_grpc.LimitsServicer):
    """Implements the service. `authorise` is called for every call, as for every xDS stream: a translator needs
    the same for both.
    """

    def __init__(self, counts: LimitCounts, sender: AlertSender, *, authorise: Authorise = anyone) -> None:
        self._limit_counts = counts
        self._sender = sender
        self._authorise = authorise

    @reporting
    async def Report(self, request: pb.ReportRequest, context: Context) -> pb.ReportResponse:
        """Takes a translator's alerts and counts of limits. The epoch changes if the translator was forgotten."""
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        if not self._authorise(metadata, context.peer()):
            raise UnauthenticatedError(WHAT_IS_NEEDED)
        for name, given in (("alerts", len(request.alerts)), ("standings", len(request.standings))):
            if given > _MAX:
                raise InvalidFieldError([f"{name}: {given} items; accepted: at most {_MAX:,}"])
        if not request.source or len(request.source) > _MAX_TEXT:
            raise InvalidFieldError([f"source: accepted: 1 to {_MAX_TEXT:,} characters"])
        await self._sender.take(request.alerts)
        return pb.ReportResponse(epoch=self._limit_counts.report(request.source, request.standings))


def serve(server: grpc.aio.Server, counts: LimitCounts, sender: AlertSender, authorise: Authorise) -> None:
    """Adds the service to `server`."""
    limits_pb2_grpc.add_LimitsServicer_to_server(LimitsService(counts, sender, authorise=authorise), server)
