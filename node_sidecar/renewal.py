"""Renews the certificate at half its life, and retries until it succeeds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger
from trunkline_proto.node.v1 import registry_pb2 as wire, registry_pb2_grpc

from node_sidecar import channel, identity as identities
from node_sidecar.errors import IdentityError, RemovedError
from node_sidecar.identity import utc_now
from node_sidecar.renewable_identity import RenewableIdentity


@dataclass(frozen=True, slots=True)
class RenewalTiming:
    """Seconds. The clock is read every `clock_interval`: it may be set, or the machine may sleep."""

    clock_interval: float = 30.0
    first_delay: float = 1.0
    max_delay: float = 60.0
    answer: float = 10.0


class Renewal:
    """Keeps the node's certificate valid while the sidecar runs."""

    def __init__(
        self,
        identity: RenewableIdentity,
        log: FilteringBoundLogger,
        timing: RenewalTiming | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._identity = identity
        self._log = log
        self._timing = timing or RenewalTiming()
        self._now = now

    async def run(self) -> NoReturn:
        """Renews the certificate whenever half of its life is over.

        Raises:
            RemovedError: the gateway does not know this node any more.
        """
        delay = self._timing.first_delay
        while True:
            due = (self._identity.current.renew_at - self._now()).total_seconds()
            if due > 0:
                await asyncio.sleep(min(due, self._timing.clock_interval))
                continue
            failure = await self._renew()
            if failure:
                self._log_failure(failure)
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
                delay = min(delay * 2, self._timing.max_delay)
            else:
                delay = self._timing.first_delay
                self._log.info("certificate renewed", until=self._identity.current.not_after.isoformat())

    async def _renew(self) -> str:
        """Renews the certificate once. Returns why it failed, or an empty string."""
        key_pem, csr_pem = identities.make_request()
        async with channel.identified(self._identity.current) as opened:
            stub = registry_pb2_grpc.NodeRegistryStub(opened)
            try:
                response = await stub.Renew(wire.RenewRequest(csr_pem=csr_pem), timeout=self._timing.answer)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    raise RemovedError(f"the gateway has removed this node: {error.details()}") from error
                return f"{error.code().name}: {error.details()}"
        try:
            self._identity.renew(key_pem, response.certificate_chain_pem)
        except IdentityError as error:
            return str(error)
        except OSError as error:
            return f"it cannot be stored: {error.strerror}"
        return ""

    def _log_failure(self, failure: str) -> None:
        current = self._identity.current
        if current.expired(self._now()):
            self._log.error(
                "certificate expired",
                since=current.not_after.isoformat(),
                reason=failure,
                do="join again with `trunkline-node join … --replace`",
            )
        else:
            hours = round(current.remaining(self._now()).total_seconds() / 3600, 1)
            self._log.warning("certificate not renewed yet", reason=failure, hours_left=hours)
