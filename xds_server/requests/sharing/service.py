"""Makes gateways with the same credentials share their quotas and the pauses that they meet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import structlog
from trunkline_proto.policy.words import QUOTA_METRICS
from trunkline_proto.requests.v1 import requests_pb2 as pb

from xds_server.errors import StoreError
from xds_server.ledger.ledger import Ledger
from xds_server.model import DesiredState
from xds_server.requests.attending import TranslatorCall, Translators
from xds_server.requests.hosts import account, credentials
from xds_server.requests.sharing import table
from xds_server.requests.sharing.plan import (
    KEPT_MS,
    SAME_MS,
    QuotaKey,
    SharingPlan,
    is_same,
    key_of,
    pauses_of_others,
    plan,
    present_of,
)
from xds_server.requests.sharing.table import GatewayReport, GatewayReports
from xds_server.store import AsyncStore

_log = structlog.get_logger(__name__)

#: Seconds between two rounds while gateways share something, and while they do not.
_INTERVAL, _IDLE_INTERVAL = 0.5, 1.0
#: Exchanges in one round: shares are lowered, others raised, and the consequences of that.
_EXCHANGES = 4


class _LastSent(NamedTuple):
    """The state that a process of Envoy knows: amount, share and time of room of each quota, end and reach of each
    pause.
    """

    process: int
    gateways: int
    shares: dict[QuotaKey, tuple[int, int, int]]
    pauses: dict[int, tuple[int, int]]


_NOTHING_SENT = _LastSent(0, 0, {}, {})


class QuotaSharing:
    """Divides quotas among the gateways of all replicas. `clock` gives Unix seconds."""

    def __init__(
        self,
        store: AsyncStore,
        translators: Translators,
        ledger: Ledger,
        *,
        replicas: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._translators = translators
        self._ledger = ledger
        self._replicas = replicas
        self._clock = clock
        self._since = self._now()
        self._state: DesiredState | None = None
        self._quotas: Mapping[QuotaKey, int] = {}
        #: The known rows of the database; None before they were read.
        self._stored: GatewayReports | None = None
        self._rows: GatewayReports = {}
        self._sent: dict[TranslatorCall, _LastSent] = {}
        self._changed = asyncio.Event()
        translators.on_change = self._changed.set

    def current(self) -> GatewayReports:
        """Returns the last reports of all gateways, including those of other replicas."""
        return self._rows

    def state_changed(self) -> None:
        """Records that other quotas may be configured."""
        self._changed.set()

    async def run(self) -> None:
        """Shares quotas and pauses until it is cancelled. Call `state_changed` whenever quotas change."""
        reason = ""
        while True:
            self._changed.clear()
            shares = False
            try:
                shares = await self.look()
                reason = ""
                if not shares and not self._replicas:
                    await self._changed.wait()
                    continue
            except StoreError as error:
                if str(error) != reason:
                    reason = str(error)
                    _log.warning("gateways share no quotas until the database is back", reason=reason)
            await asyncio.sleep(_INTERVAL if shares else _IDLE_INTERVAL)

    async def look(self) -> bool:
        """Reads the gateways' reports, and sends them the resulting changes. Returns whether there is anything to
        share.

        Raises StoreError; then every gateway keeps its shares.
        """
        quotas = self._configured(await self._store.load())
        calls = self._translators.gateways()
        self._sent = {call: sent for call, sent in self._sent.items() if call in calls.values()}
        if self._stored is None or self._replicas:
            self._stored = await self._store.read(table.read)
        now = self._now()
        self._rows = self._stored
        present = present_of(self._stored, calls, now, self._since) | set(calls)
        stale = self._replicas and any(
            gateway not in self._stored or now - self._stored[gateway].at >= KEPT_MS for gateway in calls
        )
        if not calls or not (quotas or len(present) > 1 or stale):
            return False
        reports: dict[str, GatewayReport] = {}
        inquiries = dict.fromkeys(calls.values(), pb.AttendResponse(standing=True))
        for _ in range(_EXCHANGES):
            reports |= await self._ask(inquiries)
            decided = await self._decide(reports, quotas)
            inquiries = {
                call: pb.AttendResponse(sharing=news)
                for gateway, call in calls.items()
                if gateway in reports and (news := self._news(call, decided)) is not None
            }
            if not inquiries:
                break
        return bool(quotas) or len(present) > 1

    def _now(self) -> int:
        return round(self._clock() * 1000)

    def _configured(self, state: DesiredState) -> Mapping[QuotaKey, int]:
        if state is not self._state:
            self._state = state
            self._quotas = {
                QuotaKey(account(host), QUOTA_METRICS[quota.metric], quota.per_seconds): quota.amount
                for host in credentials(state)
                for quota in state.providers[host.provider].quota_of(host.credential - 1)
            }
        return self._quotas

    async def _ask(self, inquiries: Mapping[TranslatorCall, pb.AttendResponse]) -> dict[str, GatewayReport]:
        answers = await self._translators.ask_each(inquiries)
        now, reports = self._now(), {}
        for call, answer in answers.items():
            if answer is None:
                continue
            answer.standing.translator = call.name
            reports[call.gateway] = GatewayReport(now, answer.standing)
            if inquiries[call].HasField("sharing"):
                self._remember(call, inquiries[call].sharing, now)
            self._sent[call] = _in_force(self._sent.get(call, _NOTHING_SENT), answer.standing)
        return reports

    async def _decide(self, reports: GatewayReports, quotas: Mapping[QuotaKey, int]) -> SharingPlan:
        """Returns the plan after its rows are stored: no gateway gets a larger share before that."""
        assert self._stored is not None  # noqa: S101 - `look` reads it
        planning = partial(plan, reports=reports, quotas=quotas, now=self._now(), since=self._since)
        decided = planning(self._stored)
        if decided.due or decided.gone:
            plans: list[SharingPlan] = []

            def decide(rows: GatewayReports) -> tuple[GatewayReports, list[str]]:
                plans.append(planning(rows))
                return plans[-1].rows, plans[-1].gone

            self._stored = await self._ledger.write(lambda writing: table.change(writing, decide))
            decided = plans[-1]
        self._rows = {**self._stored, **decided.rows}
        return decided

    def _news(self, call: TranslatorCall, decided: SharingPlan) -> pb.Sharing | None:
        """Returns the changes that a gateway does not know yet; None if it knows everything."""
        now = self._now()
        sent = self._sent.get(call, _NOTHING_SENT)
        gateways = len(present_of(self._rows, decided.rows, now, self._since))
        shares = [
            share
            for key, share in decided.shares.get(call.gateway, {}).items()
            if not _knows(sent.shares.get(key), share, now)
        ]
        pauses = [
            pause
            for pause in pauses_of_others(self._rows, call.gateway, now)
            if not is_same(pause, sent.pauses.get(pause.host), now)
        ]
        if gateways == sent.gateways and not shares and not pauses:
            return None
        return pb.Sharing(gateways=gateways, shares=shares, pauses=pauses)

    def _remember(self, call: TranslatorCall, sharing: pb.Sharing, now: int) -> None:
        before = self._sent.get(call, _NOTHING_SENT)
        shares = {
            QuotaKey(each.account, each.metric, each.per_seconds): (each.amount, each.share, now + each.room_ms)
            for each in sharing.shares
        }
        pauses = {host: state for host, state in before.pauses.items() if state[0] > now}
        pauses |= {each.host: (now + each.left_ms, each.reach) for each in sharing.pauses}
        self._sent[call] = _LastSent(before.process, sharing.gateways, {**before.shares, **shares}, pauses)


def _in_force(sent: _LastSent, standing: pb.Standing) -> _LastSent:
    """Returns the part of the known state that a report still confirms."""
    if not standing.process:
        return sent
    if sent.process not in {0, standing.process}:
        return _NOTHING_SENT._replace(process=standing.process)
    other = {
        key
        for use in standing.uses
        if (known := sent.shares.get(key := key_of(use))) is not None and min(known[1], use.amount) != use.share
    }
    shares = {key: share for key, share in sent.shares.items() if key not in other}
    return sent._replace(process=standing.process, shares=shares)


def _knows(sent: tuple[int, int, int] | None, share: pb.QuotaShare, now: int) -> bool:
    if sent is None or sent[:2] != (share.amount, share.share):
        return False
    return not share.room_ms or abs(now + share.room_ms - sent[2]) < SAME_MS
