"""Stores alerts and has new ones sent: each once, by one of the replicas, again until it works.

A replica that ends while it sends leaves its alerts claimed; another attempt follows when the claim ends. An alert
may therefore arrive twice, with the same id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import structlog
from trunkline_proto.limits.v1 import limits_pb2 as pb

from xds_server.alerts import table
from xds_server.alerts.table import Delivery, StoredAlert
from xds_server.alerts.webhook import body
from xds_server.errors import DatabaseUnavailableError, SecretKeyError
from xds_server.ledger.ledger import Ledger
from xds_server.model import Alerting, DesiredState

#: Alerts of one POST; seconds for which they belong to this replica, of the longest pause between two attempts,
#: and between two checks.
_BATCH, _LEASE, _MAX_PAUSE, _LOOK = 100, 60, 600, 5.0
#: Attempts for about two hours.
_ATTEMPTS = 20
_REMOVE_EVERY = 600.0

_log = structlog.get_logger(__name__)


class Configuration(Protocol):
    """The desired state, and the secret of its webhook."""

    async def load(self) -> DesiredState:
        """Reads the desired state."""

    async def webhook_secret(self, alerts: Alerting) -> bytes:
        """Returns the webhook's secret. Raises SecretKeyError."""


class Post(Protocol):
    """Sends to a webhook."""

    async def post(self, url: str, secret: bytes, content: bytes) -> str:
        """Sends `content`. Returns why it was not accepted; empty if it was."""


class AlertSender:
    """Sends alerts. `clock` gives Unix seconds."""

    def __init__(
        self, ledger: Ledger, configuration: Configuration, webhook: Post, clock: Callable[[], float] = time.time
    ) -> None:
        self._ledger = ledger
        self._configuration = configuration
        self._webhook = webhook
        self._clock = clock
        self._new = asyncio.Event()
        #: Outcomes of alerts in this process.
        self.counts = {"new": 0, "known": 0, "sent": 0, "retried": 0, "failed": 0}

    async def take(self, alerts: Sequence[pb.Alert]) -> None:
        """Stores the alerts that are new. Raises DatabaseUnavailableError."""
        if not alerts:
            return
        webhook = (await self._configuration.load()).gateway.alerts.webhook
        delivery = Delivery.WAITING if webhook else Delivery.NONE
        new = await self._ledger.write(lambda writing: table.add(writing, alerts, delivery))
        self.counts["new"] += len(new)
        self.counts["known"] += len(alerts) - len(new)
        if new:
            self._new.set()

    async def run(self) -> None:
        """Sends until it is cancelled."""
        remove_at = 0.0
        while True:
            try:
                if time.monotonic() >= remove_at:
                    await self._ledger.write(lambda writing: table.remove(writing, int(self._clock())))
                    remove_at = time.monotonic() + _REMOVE_EVERY
                while await self.send():
                    pass
            except (DatabaseUnavailableError, SecretKeyError) as error:
                _log.warning("alerts wait", reason=str(error))
            self._new.clear()
            try:
                async with asyncio.timeout(_LOOK):
                    await self._new.wait()
            except TimeoutError:
                pass

    async def send(self) -> bool:
        """Sends the alerts that are due, up to a hundred. Returns whether there may be more.

        Raises DatabaseUnavailableError, SecretKeyError.
        """
        state = await self._configuration.load()
        alerts = state.gateway.alerts
        if not alerts.webhook:
            return False
        now = int(self._clock())
        due = await self._ledger.write(lambda writing: table.claim(writing, now, _LEASE, _BATCH))
        if not due:
            return False
        secret = await self._configuration.webhook_secret(alerts)
        problem = await self._webhook.post(alerts.webhook, secret, body(due, state))
        await self._note(due, problem)
        return not problem and len(due) == _BATCH

    async def _note(self, due: Sequence[StoredAlert], problem: str) -> None:
        now = int(self._clock())
        if not problem:
            self.counts["sent"] += len(due)
            settle = partial(table.settle, sent=due, delivery=Delivery.SENT, next_at=0, error="")
            await self._ledger.write(settle)
            return
        given_up = [each for each in due if each.attempts + 1 >= _ATTEMPTS]
        again = [each for each in due if each.attempts + 1 < _ATTEMPTS]
        self.counts["retried"] += len(again)
        self.counts["failed"] += len(given_up)
        _log.warning("alerts were not sent", alerts=len(due), given_up=len(given_up), reason=problem)
        settle = partial(table.settle, sent=given_up, delivery=Delivery.FAILED, next_at=0, error=problem)
        await self._ledger.write(settle)
        for each in again:
            pause = min(2 ** (each.attempts + 1), _MAX_PAUSE)
            settle = partial(
                table.settle, sent=[each], delivery=Delivery.WAITING, next_at=now + pause, error=problem
            )
            await self._ledger.write(settle)
