"""Reports to the control plane what limits have counted, and hands it the alerts. No request waits for this."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger
from trunkline_proto.limits.v1 import limits_pb2 as pb, limits_pb2_grpc

from translator.limits import Limiter, Metric
from translator.limits.alerts import Alert
from translator.limits.limit import are_places, described, limit_of
from translator.policy import limits

#: Seconds between two checks for alerts, between two reports of counts, and between two calls without news.
_LOOK, _COUNT, _BEAT = 1.0, 5.0, 15.0
#: Most counters of one call, and counters examined without a pause.
_MAX, _AT_ONCE = 500, 250
_TIMEOUT = 10.0
_LONGEST_DELAY = 30.0
_HOLDERS = {"organisation": pb.HOLDER_ORGANISATION, "key": pb.HOLDER_KEY, "route": pb.HOLDER_ROUTE}

#: The amount taken of a limit, and its number of separately counted values.
Taken = tuple[int, int]


class LimitReporter:
    """Reports to the control plane. `token` is empty if the socket's permissions suffice; `clock` gives Unix
    seconds.
    """

    def __init__(
        self,
        limiter: Limiter,
        source: str,
        token: str,
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limiter = limiter
        self._source = source
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._log = log
        self._clock = clock
        #: The counts reported to the control plane of this epoch.
        self._reported: dict[str, Taken] = {}
        self._epoch = ""
        self._called = self._counted = 0.0
        self._failing = False

    async def run(self, channel: grpc.aio.Channel) -> None:
        """Reports until it is cancelled."""
        stub = limits_pb2_grpc.LimitsStub(channel)
        delay = _LOOK
        while True:
            await asyncio.sleep(delay * random.uniform(0.8, 1.0))  # noqa: S311 - jitter is no secret
            delay = _LOOK if await self.report(stub) else min(2 * delay, _LONGEST_DELAY)

    async def report(self, stub: limits_pb2_grpc.LimitsAsyncStub) -> bool:
        """Reports what is new, if anything. Returns False if the control plane did not accept it."""
        alerts = self._limiter.alerts.pending[:_MAX]
        at = time.monotonic()
        changes: dict[str, Taken] = {}
        if at - self._counted >= _COUNT:
            self._counted = at
            changes = await self._changes()
        if not alerts and not changes and at - self._called < _BEAT:
            return True
        self._called = at
        for begin in range(0, max(1, len(changes)), _MAX):
            part = dict(list(changes.items())[begin : begin + _MAX])
            request = pb.ReportRequest(
                source=self._source,
                alerts=map(_alert, alerts),
                standings=filter(None, map(_standing_message, part.items())),
            )
            if not await self._send(stub, request, part, alerts):
                return False
            alerts = ()
        return True

    async def _send(
        self,
        stub: limits_pb2_grpc.LimitsAsyncStub,
        request: pb.ReportRequest,
        part: dict[str, Taken],
        alerts: Sequence[Alert],
    ) -> bool:
        try:
            answer = await stub.Report(request, timeout=_TIMEOUT, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if not self._failing:  # once, not with every attempt
                self._log.warning("limits are not reported", reason=f"{error.code().name}: {error.details()}")
            self._failing = True
            return False
        self._failing = False
        self._limiter.alerts.taken(alerts)
        if answer.epoch != self._epoch:
            # The control plane has this part already; the rest follows at once.
            self._epoch, self._reported, self._counted = answer.epoch, {}, 0.0
        self._reported |= part
        for name, taken in part.items():
            if taken == (0, 0):
                self._reported.pop(name, None)
        return True

    async def _changes(self) -> dict[str, Taken]:
        """Returns what is taken of limits, by their ids, if it differs from the last report."""
        found: dict[str, Taken] = {}
        for number, (name, total) in enumerate(self._limiter.totals(self._clock())):
            of = limit_of(name)
            if of:
                most, values = found.get(of, (0, 0))
                found[of] = (max(most, total), values + 1)
            elif total and not are_places(name):
                found[name] = (total, 0)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)  # lets requests run
        gone = {name: (0, 0) for name in self._reported if name not in found}
        return {name: taken for name, taken in found.items() if self._reported.get(name) != taken} | gone


def _alert(alert: Alert) -> pb.Alert:
    metric = Metric(alert.metric)
    return pb.Alert(
        holder=_HOLDERS[alert.holder],
        holder_id=alert.holder_id,
        holder_name=alert.holder_name,
        limit=limits.message(metric, alert.window, alert.model, alert.each, amount=alert.amount, soft=alert.soft),
        value=alert.value or "",
        share_permille=alert.share,
        taken=limits.counted(metric, alert.taken),
        refused=alert.refused,
        reached_at=alert.reached_at,
        until=alert.until,
    )


def _standing_message(item: tuple[str, Taken]) -> pb.Standing | None:
    """Returns None for a limit that this version does not know, for example from the file of another version."""
    name, (taken, values) = item
    of = described(name)
    if of.holder not in _HOLDERS:
        return None
    return pb.Standing(
        holder=_HOLDERS[of.holder],
        holder_id=of.holder_id,
        limit=limits.message(of.metric, of.window, of.model, of.each),
        taken=limits.counted(of.metric, taken),
        values=values,
    )
