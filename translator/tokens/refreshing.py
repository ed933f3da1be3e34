"""Asks the control plane to read an issuer's keys again, where a token names one that is not held."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger
from trunkline_proto.tokens.v1 import tokens_pb2 as pb, tokens_pb2_grpc

#: Seconds between two calls, and of one call.
_PAUSE, _TIMEOUT = 1.0, 10.0


class KeyRefresher:
    """`token` is empty where the socket's permissions are enough."""

    def __init__(self, token: str, log: FilteringBoundLogger) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._log = log
        self._issuers: set[str] = set()
        self._wanted = asyncio.Event()

    def want(self, issuer: str) -> None:
        """Has the keys of the issuer with this name read again. The control plane does that every ten seconds at
        most, however often it is asked.
        """
        self._issuers.add(issuer)
        self._wanted.set()

    async def run(self, channel: grpc.aio.Channel) -> None:
        """Asks until it is cancelled."""
        stub = tokens_pb2_grpc.TokensStub(channel)
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            issuers, self._issuers = sorted(self._issuers), set()
            try:
                request = pb.RefreshKeysRequest(issuers=issuers)
                await stub.RefreshKeys(request, timeout=_TIMEOUT, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                # The next token that names such a key asks again.
                reason = f"{error.code().name}: {error.details()}"
                self._log.warning("keys of token issuers are not refreshed", issuers=issuers, reason=reason)
            await asyncio.sleep(_PAUSE)
