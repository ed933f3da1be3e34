"""Turns translators' reports into operators' rows: the remaining quotas, and why a target or credential
rests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.words import QUOTA_METRICS
from trunkline_proto.requests.v1 import requests_pb2 as pb

from xds_server.model import DesiredState
from xds_server.reasons import Reason
from xds_server.requests.hosts import Host, credentials
from xds_server.requests.sharing.plan import QuotaKey, key_of

#: The sources of a row.
CONFIGURED, _REPORTED, _REST = "quota", "headers", "rest"
_REFUSED = frozenset({401, 402, 403, 498})
#: Causes that are not statuses, as in envoy/module/rest.h.
_FAILURES, _HEALTH, _QUOTA = 0, 1, 2


Totals = Mapping[QuotaKey, int]


@dataclass(frozen=True, slots=True)
class HeadroomReport:
    """One translator's report at one time (`now`, Unix seconds). `totals` is what all gateways have used."""

    hosts: Mapping[int, Host]
    translator: str
    now: float
    totals: Totals

    def alert(
        self, kind: admin.RestAlertKind.ValueType, host: Host, reason: Reason, age_ms: int, left_ms: int
    ) -> admin.RestAlert:
        """Renders an alert; `age_ms` and `left_ms` are relative to the report."""
        return admin.RestAlert(
            kind=kind,
            subject=host.subject,
            reason=reason,
            reason_code=reason.coded,
            since=round(self.now - age_ms / 1000),
            until=self.until(left_ms),
            translator=self.translator,
        )

    def until(self, left_ms: int) -> int:
        """Converts milliseconds from now to Unix seconds; returns 0 for 0."""
        return round(self.now + left_ms / 1000) if left_ms else 0

    def row(self, host: Host, source: str, rest: pb.Rest | None) -> admin.CredentialHeadroom:
        """Renders a row of a credential, without the quota's own fields."""
        return admin.CredentialHeadroom(
            provider=host.provider,
            credential=host.credential,
            digest=host.digest,
            target_id=host.target_id,
            source=source,
            rests_until=self.until(rest.left_ms) if rest is not None else 0,
            reason=reason(rest) if rest is not None else "",
            reason_code=reason(rest).coded if rest is not None else None,
            translator=self.translator,
        )


def totals(standings: Iterable[pb.Standing]) -> Totals:
    """Adds up what gateways have used of each configured quota."""
    found: Counter[QuotaKey] = Counter()
    for standing in standings:
        for counted in standing.counted:
            found[key_of(counted)] += counted.used
    return found


def rows(report: HeadroomReport, remaining: pb.Standing) -> Iterator[admin.CredentialHeadroom]:
    """Yields one row for each quota, and one for each target or credential that rests without a quota."""
    hosts = report.hosts
    rests = {each.host: each for each in remaining.rests if each.host in hosts}
    shares = {key_of(use): use.share for use in remaining.uses}
    shown = set()
    for counted in remaining.counted:
        if (host := hosts.get(counted.account)) is not None:
            shown.add(counted.account)
            row = _counted(report, host, counted, rests.get(counted.account))
            row.share = shares.get(key_of(counted), counted.amount)
            yield row
    for reported in remaining.told:
        if (host := hosts.get(reported.host)) is not None:
            shown.add(reported.host)
            row = report.row(host, _REPORTED, rests.get(reported.host))
            row.metric, row.limit, row.remaining = reported.metric, reported.limit, reported.remaining
            row.resets_at = report.until(reported.reset_ms)
            yield row
    for number, rest in rests.items():
        if number not in shown:
            yield report.row(hosts[number], _REST, rest)


def unused(state: DesiredState) -> Iterator[admin.CredentialHeadroom]:
    """Yields the configured quotas as they are while nobody uses their credentials."""
    for host in credentials(state):
        for quota in state.providers[host.provider].quota_of(host.credential - 1):
            yield admin.CredentialHeadroom(
                provider=host.provider,
                credential=host.credential,
                digest=host.digest,
                source=CONFIGURED,
                metric=quota.metric,
                per_seconds=quota.per_seconds,
                limit=quota.amount,
                remaining=quota.amount,
                share=quota.amount,
            )


def is_refused(rest: pb.Rest) -> bool:
    """Returns whether the provider refuses the credential."""
    return rest.cause in _REFUSED


def is_used_up(rest: pb.Rest) -> bool:
    """Returns whether the provider's answers say that nothing is left of a quota."""
    return rest.cause == _QUOTA


def reason(rest: pb.Rest) -> Reason:
    """Returns why a target or credential rests."""
    if is_refused(rest):
        return Reason.of("rest.refused" if rest.for_all else "rest.refused_one", rest.cause)
    known = {_FAILURES: "rest.failures", _HEALTH: "rest.health", _QUOTA: "rest.quota"}.get(rest.cause)
    return Reason.of(known) if known else Reason.of("rest.limited", rest.cause)


def is_exhausted(report: HeadroomReport, counted: pb.CountedQuota) -> bool:
    """Returns whether nothing is left of a quota at any gateway."""
    return report.totals.get(key_of(counted), counted.used) >= counted.amount


def used_up(report: HeadroomReport, counted: pb.CountedQuota) -> Reason:
    """Returns the sentence that a configured quota, or the gateway's share of it, is used up."""
    metric = QUOTA_METRICS.word(counted.metric)
    code = "rest.used_up" if is_exhausted(report, counted) else "rest.share_used_up"
    return Reason.of(code, f"{counted.amount:,}", metric, counted.per_seconds)


def _counted(
    report: HeadroomReport, host: Host, counted: pb.CountedQuota, rest: pb.Rest | None
) -> admin.CredentialHeadroom:
    row = report.row(host, CONFIGURED, rest)
    row.metric = QUOTA_METRICS.word(counted.metric)
    row.per_seconds, row.limit, row.used = counted.per_seconds, counted.amount, counted.used
    row.remaining = max(0, counted.amount - report.totals.get(key_of(counted), counted.used))
    if counted.wait_ms and rest is None:
        why = used_up(report, counted)
        row.rests_until, row.reason = report.until(counted.wait_ms), why
        row.reason_code.CopyFrom(why.coded)
    return row
