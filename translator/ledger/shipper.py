"""The transport of the records: one batch in flight to the control plane, tried again for ever."""

from __future__ import annotations

import asyncio
import random

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger, ledger_pb2_grpc as ledger_grpc

from translator.ledger.outbox import Outbox
from translator.policy.ads import CHANNEL_OPTIONS

BATCH = 500
#: Seconds for which records gather before they are sent: a call, with its transaction, costs as much as a hundred
#: records. A few are sent sooner, for somebody may be looking; many are worth waiting for.
_LINGER_FEW, _LINGER_MANY = 0.25, 1.0
_FEW = 20
_TIMEOUT = 30.0
_FIRST_DELAY = 0.1
_MAX_DELAY = 5.0


def channel(address: str) -> grpc.aio.Channel:
    """With the policy's options: gRPC then makes do with one connection for both."""
    return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)


class Shipper:
    """`token` is empty where the socket's permissions are enough."""

    def __init__(
        self,
        outbox: Outbox,
        source: str,
        token: str,
        log: FilteringBoundLogger,
    ) -> None:
        self._outbox = outbox
        self._source = source
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._log = log
        self._told = ""
        #: Records that the control plane will never take.
        self.refused = 0

    async def run(self, channel: grpc.aio.Channel) -> None:
        """Ships until it is cancelled."""
        stub = ledger_grpc.LedgerStub(channel)
        delay, most = _FIRST_DELAY, BATCH
        while True:
            await self._gather()
            batch = self._outbox.batch(most)
            if not batch:
                continue
            reason = await self._send(stub, batch)
            if not reason:
                delay, most, self._told = _FIRST_DELAY, BATCH, ""
                continue
            if reason.startswith(grpc.StatusCode.INVALID_ARGUMENT.name):
                # One bad record must not hold up the others: found alone, it is given up.
                if most == 1:
                    self._give_up(batch[0], reason)
                most = 1
                continue
            if reason != self._told:  # once, not with every attempt
                self._log.warning("usage records wait for the control plane", reason=reason)
                self._told = reason
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            delay = min(delay * 2, _MAX_DELAY)

    async def _gather(self) -> None:
        """Until there are records to be sent."""
        waited = 0.0
        while self._outbox.pending < BATCH and waited < _LINGER_MANY:
            await asyncio.sleep(_LINGER_FEW)
            waited += _LINGER_FEW
            if self._outbox.pending <= _FEW:
                return

    async def _send(self, stub: ledger_grpc.LedgerAsyncStub, batch: list[ledger.UsageRecord]) -> str:
        """Why nothing was acknowledged; empty if something was."""
        request = ledger.AppendRequest(source=self._source, records=batch)
        try:
            answer = await stub.Append(request, timeout=_TIMEOUT, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        if not answer.acknowledged_ids:
            return "the control plane acknowledged nothing"
        self._outbox.acknowledge(answer.acknowledged_ids)
        return ""

    def _give_up(self, record: ledger.UsageRecord, reason: str) -> None:
        self.refused += 1
        self._log.error("usage record refused", id=record.id, reason=reason)
        self._outbox.acknowledge((record.id,))
