"""Reports what rests at the gateways that are connected here, and the remaining quotas of their credentials."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import structlog
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.requests.v1 import requests_pb2 as pb

from xds_server.errors import StoreError
from xds_server.model import DesiredState
from xds_server.requests import headroom
from xds_server.requests.attending import Translators
from xds_server.requests.headroom import HeadroomReport
from xds_server.requests.hosts import Host, hosts
from xds_server.requests.sharing.plan import GONE_MS
from xds_server.requests.sharing.table import GatewayReports
from xds_server.store import AsyncStore

_log = structlog.get_logger()

#: Seconds between two checks for the log and for metrics.
_EVERY = 5.0
#: Characters of a gateway's id that are shown.
_SHORT_ID = 8
_WORDS = {
    admin.REST_ALERT_KIND_CREDENTIAL_REFUSED: "credential_refused",
    admin.REST_ALERT_KIND_QUOTA_USED_UP: "quota_used_up",
    admin.REST_ALERT_KIND_TARGET_RESTS: "target_rests",
}


class RestingTargets:
    """Implements `xds_server.admin.ports.Resting`. `shared` returns what all gateways reported last; `clock` gives
    Unix seconds.
    """

    def __init__(
        self,
        store: AsyncStore,
        translators: Translators,
        shared: Callable[[], GatewayReports] = dict,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._translators = translators
        self._shared = shared
        self._clock = clock
        self._state: DesiredState | None = None
        self._hosts_by_number: Mapping[int, Host] = {}
        #: The number of alerts of each kind at the last check.
        self.counts: Mapping[str, int] = dict.fromkeys(_WORDS.values(), 0)

    async def headroom(self, provider: str) -> admin.ListQuotasResponse:
        """Returns the remainder of each quota of a provider, or of all providers if the name is empty."""
        state = await self._store.load()
        reports, silent = await self._reports(state)
        rows = [row for report, standing in reports for row in headroom.rows(report, standing)]
        seen = {(row.digest, row.metric, row.per_seconds) for row in rows if row.source == headroom.CONFIGURED}
        rows += (row for row in headroom.unused(state) if (row.digest, row.metric, row.per_seconds) not in seen)
        wanted = [row for row in rows if provider in {"", row.provider}]
        wanted.sort(key=lambda row: (row.provider, row.credential, row.target_id, row.source, row.metric))
        return admin.ListQuotasResponse(credentials=wanted, silent=silent)

    async def alerts(self) -> list[admin.RestAlert]:
        """Returns what an operator should look at, the longest known first."""
        reports, _ = await self._reports(await self._store.load())
        alerts = [alert for report, standing in reports for alert in _alerts(report, standing)]
        return sorted(alerts, key=lambda alert: alert.since)

    async def run(self) -> None:
        """Counts alerts and logs new ones, until it is cancelled."""
        known: set[tuple[int, str, str]] = set()
        while True:
            try:
                alerts = await self.alerts()
            except StoreError:  # reported elsewhere
                alerts = []
            counted = Counter(_WORDS[alert.kind] for alert in alerts)
            self.counts = {kind: counted[kind] for kind in _WORDS.values()}
            for alert in alerts:
                if (alert.kind, alert.subject, alert.translator) not in known:
                    _log.warning("alert", kind=_WORDS[alert.kind], subject=alert.subject, reason=alert.reason)
            known = {(alert.kind, alert.subject, alert.translator) for alert in alerts}
            await asyncio.sleep(_EVERY)

    def _hosts(self, state: DesiredState) -> Mapping[int, Host]:
        if state is not self._state:
            self._state, self._hosts_by_number = state, hosts(state)
        return self._hosts_by_number

    async def _reports(self, state: DesiredState) -> tuple[list[tuple[HeadroomReport, pb.Standing]], list[str]]:
        """Returns what every gateway reports, those of other replicas as of their last report, and the translators
        that did not answer.
        """
        answers = await self._translators.ask(pb.AttendResponse(standing=True))
        here, now = self._translators.gateways(), self._clock()
        found = [(name, answer.standing, now) for name, answer in answers.given] + [
            (row.standing.translator, row.standing, row.at / 1000)
            for gateway, row in self._shared().items()
            if gateway not in here
        ]
        hosts_by_number, totals = self._hosts(state), headroom.totals(standing for _, standing, _ in found)
        found = [each for each in found if now - each[2] < GONE_MS / 1000]
        names = Counter(name for name, _, _ in found)
        reports = [
            (HeadroomReport(hosts_by_number, _distinct(name, standing, names), at, totals), standing)
            for name, standing, at in found
        ]
        return reports, answers.silent


def _distinct(name: str, standing: pb.Standing, names: Counter[str]) -> str:
    """Returns a translator's name, with the beginning of its gateway's id if several have that name."""
    return f"{name}/{standing.gateway[:_SHORT_ID]}" if names[name] > 1 and standing.gateway else name


def _alerts(report: HeadroomReport, remaining: pb.Standing) -> Iterator[admin.RestAlert]:
    for rest in remaining.rests:
        host = report.hosts.get(rest.host)
        if host is not None and (rest.for_all or headroom.is_refused(rest)):
            yield report.alert(_kind(rest), host, headroom.reason(rest), rest.age_ms, rest.left_ms)
    for counted in remaining.counted:
        host = report.hosts.get(counted.account)
        if host is not None and counted.wait_ms and headroom.is_exhausted(report, counted):
            kind, reason = admin.REST_ALERT_KIND_QUOTA_USED_UP, headroom.used_up(report, counted)
            yield report.alert(kind, host, reason, counted.age_ms, counted.wait_ms)


def _kind(rest: pb.Rest) -> admin.RestAlertKind.ValueType:
    if headroom.is_refused(rest):
        return admin.REST_ALERT_KIND_CREDENTIAL_REFUSED
    return admin.REST_ALERT_KIND_QUOTA_USED_UP if headroom.is_used_up(rest) else admin.REST_ALERT_KIND_TARGET_RESTS
