"""Serves trunkline.ledger.v1.Ledger: takes usage records from translators."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

from typing import Any, TypeAlias

import grpc
from trunkline_proto.ledger.v1 import ledger_pb2 as pb, ledger_pb2_grpc

from xds_server.errors import UnauthenticatedError
from xds_server.ledger.arrivals import Arrivals
from xds_server.ledger.ledger import Ledger
from xds_server.rpc.authorise import WHAT_IS_NEEDED, Authorise, anyone
from xds_server.rpc.reporting import reporting

#: For TokenInterceptor: this service checks the token itself, because it knows the peer.
SERVICE = pb.DESCRIPTOR.services_by_name["Ledger"].full_name

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class LedgerService(ledger_pb2_grpc.LedgerServicer):
    """Implements the service. `authorise` is called for every call, as for every xDS stream: a translator needs
    the same for both.
    """

    def __init__(self, ledger: Ledger, *, authorise: Authorise = anyone, arrivals: Arrivals | None = None) -> None:
        self._ledger = ledger
        self._arrivals = arrivals if arrivals is not None else Arrivals()
        self._authorise = authorise

    @reporting
    async def Append(self, request: pb.AppendRequest, context: Context) -> pb.AppendResponse:
        """Stores records. Those that can never be stored are reported as refused, and count as taken."""
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        if not self._authorise(metadata, context.peer()):
            raise UnauthenticatedError(WHAT_IS_NEEDED)
        appended = await self._ledger.append(request)
        self._arrivals.note(request)
        if request.HasField("packed") and not appended.refused:
            return pb.AppendResponse(all_acknowledged=True)
        return pb.AppendResponse(
            acknowledged_ids=appended.acknowledged,
            refused=[
                pb.RefusedRecord(id=each.record.id, field=each.field, reason=each.reason)
                for each in appended.refused
            ],
        )
