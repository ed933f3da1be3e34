"""Assembles the control plane from its parts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

import grpc
import grpc.aio
import structlog
from trunkline_proto.admin.v1 import admin_pb2_grpc, console_pb2_grpc
from trunkline_proto.ledger.v1 import ledger_pb2_grpc
from trunkline_proto.node.v1 import registry_pb2_grpc
from trunkline_proto.requests.v1 import requests_pb2_grpc

from xds_server import database, listening, metrics
from xds_server.admin.auth import TokenInterceptor
from xds_server.admin.ports import Tunnel
from xds_server.admin.service import AdminService
from xds_server.alerts import service as alert_service
from xds_server.alerts.limit_counts import LimitCounts
from xds_server.alerts.sender import AlertSender
from xds_server.alerts.webhook import Webhook
from xds_server.background import BackgroundTasks
from xds_server.clients import ClientRegistry
from xds_server.console.service import ConsoleService
from xds_server.control_plane import ControlPlane
from xds_server.expected_clients import RETURN_SECONDS, RunningClients
from xds_server.ledger import service as ledger_service
from xds_server.ledger.arrivals import Arrivals
from xds_server.ledger.indexing import Indexing
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.retention import Retention
from xds_server.ledger.summing import DailySums
from xds_server.nodes import service as node_service
from xds_server.nodes.authority import Authority
from xds_server.nodes.enrolment import Enrolment
from xds_server.nodes.live import LiveNodes
from xds_server.nodes.registry import NodeRegistry
from xds_server.ranker import Ranker
from xds_server.requests import service as requests_service
from xds_server.requests.attending import Translators
from xds_server.requests.resting import RestingTargets
from xds_server.requests.running import RunningRequests
from xds_server.requests.sharing.service import QuotaSharing
from xds_server.resources.builder import Builder
from xds_server.resources.settings import EdgeSettings, GatewayTls, ListenerTls
from xds_server.rpc.authorise import Authorise, bearer_token
from xds_server.settings import Settings
from xds_server.store import AsyncStore, Store, writing
from xds_server.store.notify import RevisionListener
from xds_server.tls.watch import CertificateWatch
from xds_server.tokens import service as tokens_service
from xds_server.tokens.issuer_keys import IssuerKeys
from xds_server.transport.ads import SERVER_OPTIONS, AdsServer
from xds_server.troubles import Troubles

#: Seconds that running calls get at shutdown; xDS streams never end by themselves.
_GRACE = 0.5

_Tls = TypeVar("_Tls", GatewayTls, ListenerTls)

_log = structlog.get_logger(__name__)


async def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        XdsServerError: the store cannot be opened, an address cannot be listened on, or the listeners' certificate
            cannot be used.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    store = await asyncio.to_thread(database.open_store, settings)
    ledger = Ledger(settings.database, store.write_lock)
    alerts = AlertSender(ledger, AsyncStore(store), Webhook(settings.edge.ca_file))
    books = _LedgerParts(
        ledger, LedgerReader(settings.database), Ranker(settings.database, ledger), alerts, Arrivals()
    )
    try:
        await _serve(settings, store, books, stopping)
    finally:
        for each in (books.ranker, books.reports, ledger, store):
            await asyncio.to_thread(each.close)


class _LedgerParts(NamedTuple):
    """The parts that write usage records, report on them, rank targets by them, and send limit alerts."""

    ledger: Ledger
    reports: LedgerReader
    ranker: Ranker
    alerts: AlertSender
    arrivals: Arrivals


async def _serve(settings: Settings, store: Store, books: _LedgerParts, stopping: asyncio.Event) -> None:
    ledger, reports, ranker, alerts, arrivals = books
    clients = ClientRegistry(return_seconds=RETURN_SECONDS)
    running = RunningClients(settings.running_clients, clients)
    await asyncio.to_thread(running.restore)
    async_store, replicas = AsyncStore(store), not settings.database.is_sqlite
    edge, authority, certificate = await asyncio.to_thread(_certified_edge, settings, store)
    builder = await asyncio.to_thread(Builder, edge)
    control_plane = ControlPlane(async_store, builder, troubles := Troubles(settings.trouble_file))
    live = LiveNodes(addresses=settings.direct_addresses)
    nodes = NodeRegistry(live, ledger, control_plane, tunnels=settings.node_tunnels)
    await nodes.restore()
    control_plane.follow(nodes.desired)
    control_plane.on_state.append(ranker.state_changed)
    authorise = bearer_token(settings.admin_token)
    ads = AdsServer(await control_plane.snapshot(), clients, authorise=authorise)
    translators = Translators()
    sharing = QuotaSharing(async_store, translators, ledger, replicas=replicas)
    resting = RestingTargets(async_store, translators, sharing.current)
    issuer_keys = IssuerKeys(async_store, control_plane, troubles)
    control_plane.on_state += [sharing.state_changed, issuer_keys.state_changed]
    counts, working = LimitCounts(), BackgroundTasks()
    tunnel = None if authority is None else Tunnel(settings.tunnel_url, authority.fingerprint)
    admin = AdminService(
        async_store,
        control_plane,
        clients,
        reports,
        tunnel=tunnel,
        live=live,
        certificate=certificate,
        troubles=troubles,
        ranker=ranker,
        running=RunningRequests(async_store, translators),
        resting=resting,
        console=settings.console_url,
        lifetime=settings.sessions,
        limit_counts=counts,
        background=working,
        arrivals=arrivals,
    )
    guard = _guard(settings, async_store)
    server = grpc.aio.server(interceptors=[guard], options=SERVER_OPTIONS)
    _serve_operators(server, admin, ConsoleService(admin, edge, nodes=tunnel is not None))
    _serve_translators(server, books, counts, issuer_keys, translators, authorise)
    metrics.serve(server, metrics.Source(ads, clients, ledger, live, alerts, resting=resting), authorise)
    if authority is not None:
        enrolment = Enrolment(async_store, authority, control_plane, lambda: writing.nodes)
        registry_pb2_grpc.add_NodeRegistryServicer_to_server(
            node_service.NodeService(nodes, enrolment, authority, async_store, control_plane), server
        )
    server.add_generic_rpc_handlers([ads.handler()])
    listening.listen(server, settings)
    await server.start()
    rest = listening.listen_rest(settings.rest_socket)
    _log.info("serving", control=settings.control_listen, ads=str(settings.ads_socket))

    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(control_plane.run(ads), name="reconcile"),
            tasks.create_task(nodes.run(), name="nodes"),
            tasks.create_task(database.watch(store, troubles), name="database"),
            tasks.create_task(ranker.run(control_plane), name="ranker"),
            tasks.create_task(running.run(), name="running clients"),
            tasks.create_task(alerts.run(), name="alerts"),
            tasks.create_task(resting.run(), name="resting targets"),
            tasks.create_task(sharing.run(), name="quotas"),
            tasks.create_task(issuer_keys.run(), name="issuer keys"),
            tasks.create_task(asyncio.to_thread(store.warm), name="warm"),
            tasks.create_task(Retention(ledger, settings.retention).run(), name="retention"),
            tasks.create_task(DailySums(ledger, partial(working.report, "sums by day")).run(), name="sums by day"),
            tasks.create_task(Indexing(ledger, partial(working.report, "indexes")).run(), name="indexes"),
            tasks.create_task(listening.serve_rest(rest, settings, guard), name="REST"),
        ]
        if authority is not None:
            background.append(tasks.create_task(authority.run(_shown(builder.renew, control_plane))))
        if certificate is not None:
            background.append(tasks.create_task(certificate.run(_shown(builder.renew_listeners, control_plane))))
        if replicas:
            listener = RevisionListener(settings.database, control_plane.state_changed)
            background.append(tasks.create_task(listener.run(), name="replicas"))
        await stopping.wait()
        ads.close()
        await server.stop(_GRACE)
        for task in background:
            task.cancel()
    await nodes.flush()


def _certified_edge(
    settings: Settings, store: Store
) -> tuple[EdgeSettings, Authority | None, CertificateWatch | None]:
    """Returns the settings of Envoys with their certificates, the CA of nodes and the watch of the operator's
    certificate.
    """
    edge, authority, certificate = settings.edge, None, None
    if settings.tls_files is not None:
        certificate = CertificateWatch(settings.tls_files)
        edge = replace(edge, listener_tls=certificate.tls)
    if edge.tunnel_listen is not None:
        authority = Authority.open(store)
        edge = replace(edge, tls=authority.gateway_tls())
    return edge, authority, certificate


def _guard(settings: Settings, store: AsyncStore) -> TokenInterceptor:
    """Returns the check of operators' calls; the services that it leaves out check their callers themselves."""
    theirs = [
        ledger_service.SERVICE,
        alert_service.SERVICE,
        node_service.SERVICE,
        metrics.SERVICE,
        requests_service.SERVICE,
        tokens_service.SERVICE,
    ]
    return TokenInterceptor(settings.admin_token, but=theirs, store=store, lifetime=settings.sessions)


def _serve_operators(server: grpc.aio.Server, admin: AdminService, console: ConsoleService) -> None:
    admin_pb2_grpc.add_AdminServicer_to_server(admin, server)
    console_pb2_grpc.add_ConsoleServicer_to_server(console, server)


def _serve_translators(  # noqa: PLR0917 - what its services need
    server: grpc.aio.Server,
    books: _LedgerParts,
    counts: LimitCounts,
    issuer_keys: IssuerKeys,
    translators: Translators,
    authorise: Authorise,
) -> None:
    """Adds the services for translators: records, limit counts, requests, and keys of token issuers that they
    lack.
    """
    service = ledger_service.LedgerService(books.ledger, authorise=authorise, arrivals=books.arrivals)
    ledger_pb2_grpc.add_LedgerServicer_to_server(service, server)
    alert_service.serve(server, counts, books.alerts, authorise)
    requests = requests_service.RequestsService(translators, authorise=authorise)
    requests_pb2_grpc.add_RequestsServicer_to_server(requests, server)
    tokens_service.serve(server, issuer_keys, authorise)


def _shown(renew: Callable[[_Tls], None], control_plane: ControlPlane) -> Callable[[_Tls], None]:
    """Returns a function that publishes a certificate that has replaced another."""

    def show(tls: _Tls) -> None:
        renew(tls)
        control_plane.pools_changed({})

    return show
