"""Wires the parts together and runs them until a signal."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from contextlib import suppress
from functools import partial
from importlib.metadata import version

from structlog.typing import FilteringBoundLogger
from trunkline_proto.xds.v1 import discovery_pb2 as discovery

from translator import late_imports
from translator.authorise import Authoriser
from translator.cache.answer_cost import AnswerCost
from translator.cache.gate import CacheGate
from translator.cache.stores import Stores
from translator.checks.session import PROTOCOL, CheckSession
from translator.control_plane import ControlPlaneAddress
from translator.errors import PolicyError, SnapshotError
from translator.http.server import Server
from translator.ledger.ledger import Ledger
from translator.ledger.prices import PriceBook
from translator.limits import HolderLimit, Limiter, Metric, values
from translator.limits.alerts import Alert
from translator.metering import Meter
from translator.metrics import Metrics
from translator.policy import snapshot
from translator.policy.store import PolicyStore
from translator.policy.subscription import PolicySubscription
from translator.reading.pool import ReadingPool
from translator.responses import Responses
from translator.running.commander import Commander
from translator.running.sharing import QuotaKeeper
from translator.service import Service
from translator.settings import Settings
from translator.waiting import WaitingRoom

#: Seconds for which a translator without a policy lets requests wait for one before it refuses them.
_FIRST_POLICY_SECONDS = 3.0


async def run(settings: Settings, sock: socket.socket, log: FilteringBoundLogger) -> None:
    """Serves on `sock` until SIGTERM or SIGINT."""
    stop = _stopped_by_signals()
    policy, prices, waiting = PolicyStore(), PriceBook(), WaitingRoom()
    policy.on_route = prices.put
    policy.starting = settings.starting
    _restore(policy, settings, log)
    metrics = Metrics()
    limiter = Limiter(policy.limits_by_id)
    ledger = Ledger(settings, limiter, prices, log)
    meter = Meter(limiter, ledger)
    metrics.sources += [ledger.samples, limiter.samples]
    metrics.families.append(ledger.requests.pieces)
    writer = snapshot.PolicySnapshotWriter(
        settings.snapshot,
        policy.contents,
        lambda error: log.error("snapshot not written", path=str(settings.snapshot), reason=error.strerror),
        settings.snapshot_delay,
    )

    _follow_limits(limiter, waiting, log)

    def changed() -> None:
        writer.changed()
        waiting.policy_changed()
        # Existing objects are permanent: scanning a hundred thousand keys takes the collector a third of a second.
        gc.freeze()

    policy.on_change = changed
    body_reader = ReadingPool(log)
    cache = CacheGate(Stores(log), AnswerCost(prices).of)
    stored = Responses(settings.state_dir / "responses", log)
    authoriser = Authoriser(policy, meter, body_reader=body_reader, cache=cache, stored=stored, waiting=waiting)
    body_reader.on_abandoned = authoriser.charge
    metrics.sources += [cache.samples, body_reader.samples, waiting.samples]
    service = Service(
        policy, authoriser, log, metrics, ledger.status, draining=settings.draining, trouble=settings.trouble
    )
    quotas = QuotaKeeper(settings.quotas, commander := Commander(), log, draining=settings.draining)
    checks = partial(CheckSession, service, ledger.flush, settings.max_body, log, commander=commander)
    server = Server(service.handle, settings.max_body, {PROTOCOL: checks})
    tasks = [
        asyncio.create_task(writer.run(), name="snapshot"),
        asyncio.create_task(_follow(policy, settings, log), name="policy"),
        asyncio.create_task(ledger.run(), name="ledger"),
        asyncio.create_task(_attend(settings, limiter, waiting, commander, quotas, log=log), name="requests"),
        asyncio.create_task(quotas.run(), name="quotas"),
        asyncio.create_task(_report_limits(limiter, settings, log), name="limits"),
        asyncio.create_task(_refresh_keys(policy, settings, log), name="token keys"),
    ]
    stopping = asyncio.create_task(stop.wait())
    try:
        await _await_policy(policy, stopping, *tasks)
        await server.start(sock)
        log.info("serving", policy=policy.source, **policy.counts)
        # The tasks run for ever. If one ends, it has failed, and the process must end too so that it is started
        # again.
        done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        stopping.cancel()
        await server.stop(settings.grace)
        await body_reader.close()
        await cache.close()
        stored.close()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await ledger.close()
        await writer.flush()
        log.info("stopped")


def _stopped_by_signals() -> asyncio.Event:
    """Returns an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _follow_limits(limiter: Limiter, waiting: WaitingRoom, log: FilteringBoundLogger) -> None:
    limiter.on_freed = waiting.freed
    limiter.on_overflow = lambda each: log.warning(
        "a limit has too many values to count separately: the others share one amount",
        **_named(each),
        counted_apart=values.MAX,
    )
    limiter.alerts.on_alert = lambda alert: log.warning(
        "a limit has refused a request" if alert.refused else "a limit has reached a share of its amount",
        **_named(alert),
        share=alert.share / 1_000,
        taken=alert.taken,
        amount=alert.amount,
    )


def _named(limit: HolderLimit | Alert) -> dict[str, str]:
    """Returns what a log may say about a limit; the names of models and end users are left out."""
    metric = Metric(limit.metric).text
    return {"holder": limit.holder, "holder_id": limit.holder_id, "metric": metric, "window": limit.window}


async def _report_limits(limiter: Limiter, settings: Settings, log: FilteringBoundLogger) -> None:
    await late_imports.load("translator.reporting")
    from translator.ledger.shipper import channel  # noqa: PLC0415
    from translator.reporting import LimitReporter  # noqa: PLC0415

    async with channel(settings.control) as opened:
        await LimitReporter(limiter, settings.id, settings.control_token, log).run(opened)


async def _refresh_keys(policy: PolicyStore, settings: Settings, log: FilteringBoundLogger) -> None:
    await late_imports.load("translator.tokens.refreshing")
    from translator.ledger.shipper import channel  # noqa: PLC0415
    from translator.tokens.refreshing import KeyRefresher  # noqa: PLC0415

    refresher = KeyRefresher(settings.control_token, log)
    policy.tokens.on_unknown_key = refresher.want
    async with channel(settings.control) as opened:
        await refresher.run(opened)


def _restore(policy: PolicyStore, settings: Settings, log: FilteringBoundLogger) -> None:
    """Loads the policy that was stored last, if there is a complete one."""
    try:
        saved = snapshot.load(settings.snapshot)
        if saved is not None:
            policy.restore(saved)
    except (SnapshotError, PolicyError) as error:
        # No traceback: the reason says what is wrong with the file.
        log.error("snapshot ignored", path=str(settings.snapshot), reason=str(error))  # noqa: TRY400


async def _await_policy(policy: PolicyStore, *unless: asyncio.Task[object]) -> None:
    """Waits, for a limited time, until there is a policy. Returns early when a task of `unless` ends.

    A translator that was killed before it stored its first policy has none to restore. While it waits, requests
    queue in the socket's backlog.
    """
    if policy.held:
        return
    complete = asyncio.Event()
    policy.on_complete = complete.set
    held = asyncio.create_task(complete.wait())
    await asyncio.wait({held, *unless}, timeout=_FIRST_POLICY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    held.cancel()


async def _follow(policy: PolicyStore, settings: Settings, log: FilteringBoundLogger) -> None:
    await late_imports.load("grpc.aio")
    from translator.policy import ads  # noqa: PLC0415

    # Existing objects are permanent; the collector need not scan them again.
    gc.freeze()
    node = discovery.Node(
        id=settings.id,
        cluster="translator",
        user_agent_name="trunkline-translator",
        user_agent_version=version("trunkline"),
    )
    control = ControlPlaneAddress(settings.control, settings.control_token)
    await ads.follow(control, lambda: PolicySubscription(policy, node), log)


async def _attend(
    settings: Settings,
    limiter: Limiter,
    waiting: WaitingRoom,
    commander: Commander,
    quotas: QuotaKeeper,
    *,
    log: FilteringBoundLogger,
) -> None:
    await late_imports.load("grpc.aio")
    from translator.running import attend, listing  # noqa: PLC0415

    listings = listing.Listings(settings.id, limiter, waiting, commander, quotas)
    control = ControlPlaneAddress(settings.control, settings.control_token)
    await attend.attend(control, settings.id, listings.answer, log, quotas.gateway)
