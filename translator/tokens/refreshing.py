"""Makes the control plane read an issuer's keys again if a token names a key that is unknown here."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger
from trunkline_proto.tokens.v1 import tokens_pb2 as pb, tokens_pb2_grpc

#: Seconds between two calls, and for one call.
_PAUSE, _TIMEOUT = 1.0, 10.0


class KeyRefresher:
    """Requests fresh keys. `token` is empty if the socket's permissions suffice."""

    def __init__(self, token: str, log: FilteringBoundLogger) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._log = log
        self._issuers: set[str] = set()
        self._wanted = asyncio.Event()

    def want(self, issuer: str) -> None:
        """Requests a new reading of this issuer's keys. The control plane reads them at most every ten seconds,
        however often this is called.
        """
        self._issuers.add(issuer)
        self._wanted.set()

    async def run(self, channel: grpc.aio.Channel) -> None:
        """Sends requests until it is cancelled."""
        stub = tokens_pb2_grpc.TokensStub(channel)
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            issuers, self._issuers = sorted(self._issuers), set()
            try:
                request = pb.RefreshKeysRequest(issuers=issuers)
                await stub.RefreshKeys(request, timeout=_TIMEOUT, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                # The next token with such a key triggers another request.
                reason = f"{error.code().name}: {error.details()}"
                self._log.warning("keys of token issuers are not refreshed", issuers=issuers, reason=reason)
            await asyncio.sleep(_PAUSE)
