"""Decides what to send to each gateway, from the reports of all of them. No I/O, no clock: times are Unix
milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.requests.v1 import requests_pb2 as pb

from xds_server.requests.sharing.division import GatewayUse, grants
from xds_server.requests.sharing.table import GatewayReport, GatewayReports

#: A gateway without a report for this long counts as using nothing.
GONE_MS = 60_000
#: A row is stored at least this often while its gateway is present.
KEPT_MS = 20_000
#: A stored use is at most this part of the quota behind.
_COARSE = 32
#: Moments that differ by less count as one, reported twice.
SAME_MS = 2_000


class QuotaKey(NamedTuple):
    """A configured quota of a credential, without its amount."""

    account: int
    metric: policy.Metric.ValueType
    per_seconds: int


def key_of(message: pb.QuotaUse | pb.CountedQuota | pb.QuotaShare) -> QuotaKey:
    """Returns the quota that a message is about."""
    return QuotaKey(message.account, message.metric, message.per_seconds)


@dataclass(slots=True)
class SharingPlan:
    """The rows of this replica's gateways to store, and the share of each. `due` says that the rows must be
    stored; `gone` names rows that are useless now.
    """

    rows: dict[str, GatewayReport] = field(default_factory=dict)
    shares: dict[str, dict[QuotaKey, pb.QuotaShare]] = field(default_factory=dict)
    due: bool = False
    gone: list[str] = field(default_factory=list)


def plan(
    rows: GatewayReports,
    reports: Mapping[str, GatewayReport],
    quotas: Mapping[QuotaKey, int],
    now: int,
    since: int = 0,
) -> SharingPlan:
    """Divides `quotas`, which are amounts, among all gateways. `reports` come from gateways connected to this
    replica, which started at `since` and cannot know which gateways left before.
    """
    found = SharingPlan(
        rows={gateway: _merged(rows.get(gateway), row, quotas) for gateway, row in reports.items()}
    )
    everybody = {**rows, **found.rows}
    present = present_of(everybody, reports, now, since)
    for key, amount in quotas.items():
        uses = {gateway: _use(row, key, now, gone=gateway not in present) for gateway, row in everybody.items()}
        room = _room(everybody, key, now)
        for gateway, grant in grants(amount, uses, present & reports.keys()).items():
            share = pb.QuotaShare(amount=amount, share=grant.share, **key._asdict())
            if grant.share < min(amount, uses[gateway].used + max(1, uses[gateway].wanted)):
                share.room_ms = room
            found.shares.setdefault(gateway, {})[key] = share
            _keep(found.rows[gateway].standing, key, amount, max(grant.share, uses[gateway].share))
    found.due = any(
        _is_due(rows.get(gateway), row, alone=len(everybody) == 1) for gateway, row in found.rows.items()
    )
    found.gone = [
        gateway
        for gateway, row in everybody.items()
        if gateway not in present
        and now - row.at > GONE_MS + 1000 * max((use.per_seconds for use in row.standing.uses), default=0)
    ]
    return found


def present_of(rows: GatewayReports, connected: Collection[str], now: int, since: int) -> set[str]:
    """Returns the present gateways: those connected, or heard of lately by any replica, unless they drain."""
    return {
        name
        for name, row in rows.items()
        if not row.standing.leaving and (name in connected or now - max(row.at, since) <= GONE_MS)
    }


def pauses_of_others(rows: GatewayReports, gateway: str, now: int) -> Iterator[pb.Pause]:
    """Yields the pauses that other gateways met and that still last, with their current length."""
    for name, row in rows.items():
        passed = max(0, now - row.at)
        for pause in row.standing.pauses:
            if name == gateway or pause.foreign or pause.left_ms <= passed:
                continue
            current = pb.Pause()
            current.CopyFrom(pause)
            current.age_ms += passed
            current.left_ms -= passed
            yield current


def is_same(pause: pb.Pause, told: tuple[int, int] | None, now: int) -> bool:
    """Returns whether a gateway that was sent this end and reach knows the pause."""
    until, reach = told or (0, 0)
    return reach == pause.reach and abs(now + pause.left_ms - until) < SAME_MS


def _merged(before: GatewayReport | None, row: GatewayReport, quotas: Collection[QuotaKey]) -> GatewayReport:
    """Returns a report in the form to store, including shares of quotas that are not in use at the moment."""
    standing = pb.Standing()
    standing.CopyFrom(row.standing if row.standing.process or before is None else before.standing)
    standing.translator, standing.leaving = row.standing.translator, row.standing.leaving
    at = row.at if row.standing.process or before is None else before.at
    known = {key_of(use) for use in standing.uses}
    for use in before.standing.uses if before is not None else ():
        if key_of(use) not in known and key_of(use) in quotas:
            standing.uses.add(share=use.share, amount=use.amount, **key_of(use)._asdict())
    return GatewayReport(at, standing)


def _use(row: GatewayReport, key: QuotaKey, now: int, *, gone: bool) -> GatewayUse:
    found = next((use for use in row.standing.uses if key_of(use) == key), None)
    if found is None:
        return GatewayUse(0, gone=gone)
    passed = now - row.at > 1000 * key.per_seconds
    return GatewayUse(found.share, 0 if gone and passed else found.used, found.wanted, gone)


def _keep(standing: pb.Standing, key: QuotaKey, amount: int, share: int) -> None:
    found = next((use for use in standing.uses if key_of(use) == key), None)
    if found is None:
        standing.uses.add(share=share, amount=amount, **key._asdict())
    else:
        found.share, found.amount = share, amount


def _room(rows: GatewayReports, key: QuotaKey, now: int) -> int:
    """Returns the milliseconds until any gateway has room; 0 if unknown."""
    waits = (
        counted.wait_ms - max(0, now - row.at)
        for row in rows.values()
        for counted in row.standing.counted
        if key_of(counted) == key
    )
    return min((wait for wait in waits if wait > 0), default=0)


def _is_due(before: GatewayReport | None, row: GatewayReport, *, alone: bool) -> bool:
    changed = before is None or _shares(before) != _shares(row) or before.standing.leaving != row.standing.leaving
    if before is None or changed or row.at - before.at >= KEPT_MS:
        return True
    return not alone and _coarse(before) != _coarse(row)


def _shares(row: GatewayReport) -> object:
    return sorted((key_of(use), use.share) for use in row.standing.uses)


def _coarse(row: GatewayReport) -> object:
    uses = [
        (key_of(use), use.used * _COARSE // max(1, use.amount), use.wanted * _COARSE // max(1, use.amount))
        for use in row.standing.uses
    ]
    pauses = [
        (each.host, each.reach, (row.at + each.left_ms) // SAME_MS)
        for each in row.standing.pauses
        if not each.foreign
    ]
    return sorted(uses), sorted(pauses)
