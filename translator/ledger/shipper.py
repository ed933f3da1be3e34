"""The transport of the records: one batch at a time to the control plane, retried for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger, ledger_pb2_grpc as ledger_grpc

from translator.control_plane import CHANNEL_OPTIONS
from translator.ledger import rows
from translator.ledger.outbox import Outbox
from translator.ledger.quarantine import Quarantine
from translator.ledger.rows import Row

BATCH = 500
#: Most bytes of one call, unless a single record is larger: a quarter of what the control plane accepts.
_BATCH_BYTES = 4 * 1024 * 1024
#: Seconds for which records gather before they are sent: a call with its transaction costs as much as a hundred
#: records. A few records are sent sooner, in case an operator is watching; many are worth waiting for.
_LINGER_FEW, _LINGER_MANY = 0.25, 1.0
_FEW = 20
_TIMEOUT = 30.0
_FIRST_DELAY = 0.1
_MAX_DELAY = 5.0


def channel(address: str) -> grpc.aio.Channel:
    """Opens a channel with the options of the policy's, so that gRPC uses one connection for both."""
    return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)


class Shipper:
    """Ships records. `token` is empty if the socket's permissions suffice.

    The control plane accepts what it can of a batch and says what it refuses. Refused records go into the
    `quarantine` unless the control plane stores them itself. A control plane of an earlier version refuses the
    whole batch: then ever smaller batches are sent until the bad record is alone, and ever larger ones afterwards.
    One that does not acknowledge packed records is sent messages until the connection to it fails.
    """

    def __init__(
        self,
        outbox: Outbox,
        quarantine: Quarantine,
        source: str,
        token: str,
        log: FilteringBoundLogger,
    ) -> None:
        self._outbox = outbox
        self._quarantine = quarantine
        self._source = source
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._log = log
        self._logged = ""
        self._most = BATCH
        self._packs = True
        #: Records that the control plane refused for good.
        self.refused = 0
        self._filled = asyncio.Event()
        outbox.on_filled = self._filled.set

    async def run(self, channel: grpc.aio.Channel) -> None:
        """Ships until it is cancelled."""
        stub = ledger_grpc.LedgerStub(channel)
        delay = _FIRST_DELAY
        while True:
            await self._gather()
            batch = self._outbox.batch(self._most)
            if not batch:
                continue
            request = self._request(batch)
            if len(batch) > 1 and request.ByteSize() > _BATCH_BYTES:
                self._most = len(batch) // 2
                continue
            reason = await self._send(stub, batch, request)
            if not reason:
                delay, self._logged = _FIRST_DELAY, ""
                self._most = min(2 * self._most, BATCH)
                continue
            if reason.startswith(grpc.StatusCode.INVALID_ARGUMENT.name):
                if len(batch) == 1:
                    self._give_up(batch[0], reason, kept=False)
                self._most = max(1, len(batch) // 2)
                continue
            if reason != self._logged:  # once, not with every attempt
                self._log.warning("usage records wait for the control plane", reason=reason)
                self._logged = reason
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            delay = min(delay * 2, _MAX_DELAY)

    def _request(self, batch: Sequence[Row | ledger.UsageRecord]) -> ledger.AppendRequest:
        packed = [each for each in batch if isinstance(each, tuple)] if self._packs else []
        return ledger.AppendRequest(
            source=self._source,
            records=[rows.as_message(each) for each in batch if not (self._packs and isinstance(each, tuple))],
            packed=rows.packed(packed) if packed else None,
            keeps_refused=True,
        )

    async def _gather(self) -> None:
        """Waits for records, and for more to gather; returns at once while a bad record is being searched for."""
        while not self._outbox.pending:
            self._filled.clear()
            await self._filled.wait()
        waited = 0.0
        while self._outbox.pending < self._most and waited < _LINGER_MANY:
            await asyncio.sleep(_LINGER_FEW)
            waited += _LINGER_FEW
            if self._outbox.pending <= _FEW:
                return

    async def _send(
        self,
        stub: ledger_grpc.LedgerAsyncStub,
        batch: Sequence[Row | ledger.UsageRecord],
        request: ledger.AppendRequest,
    ) -> str:
        """Returns why nothing was acknowledged; empty if something was."""
        try:
            answer = await stub.Append(request, timeout=_TIMEOUT, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                self._packs = True  # the next control plane may be a newer one
            return f"{error.code().name}: {error.details()}"
        if answer.all_acknowledged:
            self._outbox.acknowledge(map(rows.record_id, batch))
            return ""
        if not answer.acknowledged_ids and not answer.refused:
            if request.HasField("packed"):
                self._packs = False
                return ""
            return "the control plane acknowledged nothing"
        if answer.refused:
            self._set_aside(batch, answer)
        self._outbox.acknowledge(answer.acknowledged_ids)
        return ""

    def _set_aside(self, batch: Sequence[Row | ledger.UsageRecord], answer: ledger.AppendResponse) -> None:
        """Moves refused records from the outbox to the quarantine."""
        sent = {rows.record_id(record): record for record in batch}
        kept = set(answer.acknowledged_ids)
        for each in answer.refused:
            record = sent.get(each.id)
            if record is not None:
                reason = f"{each.field}: {each.reason}" if each.field else each.reason
                self._give_up(record, reason, kept=each.id in kept)

    def _give_up(self, refused: Row | ledger.UsageRecord, reason: str, *, kept: bool) -> None:
        record = rows.as_message(refused)
        self.refused += 1
        self._log.error("usage record refused", id=record.id, reason=reason, kept_by_control_plane=kept)
        if not kept:
            from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - rare, and slow to import

            self._quarantine.add(reason, record=MessageToDict(record, preserving_proto_field_name=True))
            self._outbox.acknowledge((record.id,))
