"""The Admin service's method for what limits have counted, and the alerts that `status` shows."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc
from trunkline_proto.limits.v1 import limits_pb2
from trunkline_proto.policy.v1 import policy_pb2

from xds_server.alerts import naming, table
from xds_server.alerts.limit_counts import LimitCounts
from xds_server.alerts.table import Delivery, StoredAlert
from xds_server.ledger.reader import LedgerReader
from xds_server.messages import Encoder
from xds_server.model import DesiredState, Limit
from xds_server.rpc.reporting import reporting
from xds_server.store import AsyncStore

#: Alerts that `status` shows.
_SHOWN = 50
_LIMIT = Encoder(Limit, policy_pb2.Limit)
_DELIVERIES = {
    Delivery.NONE: pb.ALERT_DELIVERY_NONE,
    Delivery.WAITING: pb.ALERT_DELIVERY_WAITING,
    Delivery.SENT: pb.ALERT_DELIVERY_SENT,
    Delivery.FAILED: pb.ALERT_DELIVERY_FAILED,
}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class LimitMethods(admin_pb2_grpc.AdminServicer):
    """The part of the service that deals with what limits have counted."""

    _store: AsyncStore
    _limit_counts: LimitCounts

    @reporting
    async def ListLimitUses(self, request: pb.ListLimitUsesRequest, context: Context) -> pb.ListLimitUsesResponse:
        """Returns the highest use that any translator has reported of each limit that still exists."""
        state = await self._store.load()
        return pb.ListLimitUsesResponse(uses=_uses(state, self._limit_counts))


async def alerts(ledger: LedgerReader, state: DesiredState) -> list[pb.LimitAlert]:
    """Returns the alerts of windows that have not ended, newest first. Raises DatabaseUnavailableError."""
    now = int(time.time())
    found: Sequence[StoredAlert] = await ledger.read(lambda snapshot: table.current(snapshot, now, _SHOWN))
    return [
        pb.LimitAlert(
            holder=naming.holder(state, each.alert.holder, each.alert.holder_id),
            alert=each.alert,
            delivery=_DELIVERIES[each.delivery],
            error=each.error,
        )
        for each in found
    ]


def _uses(state: DesiredState, counts: LimitCounts) -> Iterator[pb.LimitUse]:
    for kind, objects in (
        (limits_pb2.HOLDER_ORGANISATION, state.organisations),
        (limits_pb2.HOLDER_KEY, state.keys),
        (limits_pb2.HOLDER_ROUTE, state.routes),
    ):
        for id_, each in objects.items():
            for limit in each.limits:
                message = _LIMIT(limit)
                found = counts.of(kind, id_, message)
                if found is not None:
                    yield pb.LimitUse(
                        holder=naming.holder(state, kind, id_),
                        limit=message,
                        taken=found.taken,
                        values=found.values,
                    )
