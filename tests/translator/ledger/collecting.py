"""A control plane that stores usage records: real gRPC on a Unix socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import grpc.aio
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger, ledger_pb2_grpc as ledger_grpc

from xds_server.usage.records import messages


class Collector(ledger_grpc.LedgerServicer):
    """`records` has every record that ever arrived, by id. `failures` calls store their records and then fail
    nevertheless.

    Records in `refuse` are refused: `named` in the answer, with `keeps` as if the control plane stored them
    elsewhere; or, like an earlier version, which knows no packed records, with the whole call.
    """

    def __init__(self, path: Path) -> None:
        self._address = f"unix:{path}"
        self._server: grpc.aio.Server | None = None
        self._arrived = asyncio.Event()
        self.records: dict[str, list[ledger.UsageRecord]] = {}
        self.sizes: list[int] = []
        self.tokens: list[str] = []
        self.failures = 0
        self.refuse: set[str] = set()
        self.named = True
        self.keeps = True

    async def start(self) -> None:
        self._server = grpc.aio.server()
        ledger_grpc.add_LedgerServicer_to_server(self, self._server)
        self._server.add_insecure_port(self._address)
        await self._server.start()

    async def stop(self) -> None:
        """Stops at once, as if killed."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def until(self, ids: set[str], timeout: float = 60.0) -> None:
        """Waits until all of `ids` have arrived."""
        try:
            async with asyncio.timeout(timeout):
                while ids - self.records.keys():
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            missing = ids - self.records.keys()
            raise AssertionError(f"{len(missing)} records are missing, e.g. {min(missing)}") from None

    async def Append(
        self,
        request: ledger.AppendRequest,
        context: grpc.aio.ServicerContext[ledger.AppendRequest, ledger.AppendResponse],
    ) -> ledger.AppendResponse:
        metadata = dict(context.invocation_metadata() or ())
        self.tokens.append(str(metadata.get("authorization", "")))
        sent = messages(request) if self.named else list(request.records)
        bad = [record for record in sent if record.id in self.refuse]
        if bad and not self.named:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{bad[0].id}: bad")
        self.sizes.append(len(sent))
        good = [record for record in sent if record.id not in self.refuse]
        for record in good:
            self.records.setdefault(record.id, []).append(record)
        self._arrived.set()
        if self.failures:
            self.failures -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
        assert request.keeps_refused
        if self.named and request.HasField("packed") and not bad:
            return ledger.AppendResponse(all_acknowledged=True)
        return ledger.AppendResponse(
            acknowledged_ids=[record.id for record in (sent if self.keeps else good)],
            refused=[ledger.RefusedRecord(id=each.id, field="model", reason="bad") for each in bad],
        )
