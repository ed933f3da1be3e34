"""Implements trunkline.admin.v1.Admin: each method parses, changes or reads, and renders."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as pb

from xds_server.accounts.caller import current
from xds_server.accounts.model import Role
from xds_server.accounts.oidc.client import OidcClient
from xds_server.accounts.passwords import Passwords
from xds_server.accounts.sessions import DEFAULT, Lifetime
from xds_server.admin import limit_uses, parse, render, status, values, warnings
from xds_server.admin.accounts import AccountMethods
from xds_server.admin.apply import Mode, apply
from xds_server.admin.calls import SETTLE_SECONDS, Changes, actor_of
from xds_server.admin.difference import changes, conflicts
from xds_server.admin.gateway import GatewayMethods
from xds_server.admin.keys import KeyMethods
from xds_server.admin.limit_uses import LimitMethods
from xds_server.admin.limits import limits as limits_of
from xds_server.admin.nodes import NodeMethods
from xds_server.admin.ports import (
    Clients,
    ListenerCertificate,
    LiveNodes,
    NoLiveNodes,
    NoTranslators,
    Publisher,
    Resting,
    RunningRequests,
    Tunnel,
)
from xds_server.admin.problems import Problems, checking
from xds_server.admin.prune import SECTIONS
from xds_server.admin.requests import RequestMethods
from xds_server.admin.routing import Explains, NothingMeasured, RoutingMethods
from xds_server.admin.simulation import SimulationMethods
from xds_server.alerts.limit_counts import LimitCounts
from xds_server.background import BackgroundTasks
from xds_server.errors import DatabaseReplacedError, NotFoundError
from xds_server.ledger.arrivals import Arrivals
from xds_server.ledger.reader import LedgerReader
from xds_server.model import GATEWAY_SECTIONS, DesiredState
from xds_server.rpc.reporting import reporting
from xds_server.store import AsyncStore, AuditQuery, managers, writing
from xds_server.store.records import ObjectType
from xds_server.troubles import Troubles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xds_server.model import Organisation, Provider, Route
    from xds_server.store.writing.transaction import Transaction

_MAX_WAIT_MS = 60_000
_PAGE, _MAX_PAGE = 100, 1_000

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AdminService(
    AccountMethods,
    GatewayMethods,
    KeyMethods,
    LimitMethods,
    NodeMethods,
    RequestMethods,
    RoutingMethods,
    SimulationMethods,
):
    """Implements the service; one per server, stateless apart from what it is given. Without `tunnel`, no node can
    be invited.
    """

    def __init__(
        self,
        store: AsyncStore,
        publisher: Publisher,
        clients: Clients,
        ledger: LedgerReader,
        *,
        tunnel: Tunnel | None = None,
        live: LiveNodes | None = None,
        certificate: ListenerCertificate | None = None,
        troubles: Troubles | None = None,
        ranker: Explains | None = None,
        running: RunningRequests | None = None,
        resting: Resting | None = None,
        console: str = "http://127.0.0.1:8081",
        lifetime: Lifetime = DEFAULT,
        limit_counts: LimitCounts | None = None,
        background: BackgroundTasks | None = None,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clients = clients
        self._changes = Changes(store, publisher, clients)
        self._tunnel = tunnel
        self._console = console
        self._lifetime = lifetime
        self._passwords = Passwords()
        self._oidc = OidcClient()
        self._certificate = certificate
        self._troubles = troubles if troubles is not None else Troubles()
        self._ranker = ranker if ranker is not None else NothingMeasured()
        self._running = running if running is not None else NoTranslators()
        self._arrivals = arrivals if arrivals is not None else Arrivals()
        self._limit_counts = limit_counts if limit_counts is not None else LimitCounts()
        self._background = background if background is not None else BackgroundTasks()
        self._resting = resting if resting is not None else NoTranslators()
        self._live = live if live is not None else NoLiveNodes()

    @reporting
    async def Apply(self, request: pb.ApplyRequest, context: Context) -> pb.ApplyResponse:
        """Applies a document in one transaction, and waits until the connected clients run it or `wait_ms` is
        over.
        """
        with checking() as problems:
            # an empty document must be sent explicitly: it removes everything
            if not request.HasField("document"):
                problems.at("document").note("missing")
            values.number(request.wait_ms, 0, _MAX_WAIT_MS, "milliseconds (0 = 5,000)", problems.at("wait_ms"))
            mode = _mode(request, problems)
        document, actor = request.document, actor_of(context)
        noted = list(warnings.of_document(document, time.time()))
        if request.dry_run:
            draft = await self._store.write(actor, lambda tx: apply(tx, document, mode), dry_run=True)
            return pb.ApplyResponse(
                changes=changes(draft.events),
                conflicts=conflicts(draft.value.conflicts),
                warnings=[*noted, *draft.value.notes],
            )
        committed = await self._changes.write(actor, lambda tx: apply(tx, document, mode))
        wait = request.wait_ms / 1000 or SETTLE_SECONDS
        return pb.ApplyResponse(
            changes=changes(committed.events),
            conflicts=conflicts(committed.value.conflicts),
            propagation=await self._changes.settled(committed.revision, wait),
            warnings=[*noted, *committed.value.notes],
        )

    @reporting
    async def Export(self, request: pb.ExportRequest, context: Context) -> pb.ExportResponse:
        """Returns the state, or one manager's part of it, without secrets."""
        with checking() as problems:
            if request.managed_by not in {"", managers.API, "file"}:
                _manager(request.managed_by, problems.at("managed_by"))
        return pb.ExportResponse(document=render.document(await self._store.load(), request.managed_by))

    @reporting
    async def ListProviders(self, request: pb.ListProvidersRequest, context: Context) -> pb.ListProvidersResponse:
        """Returns the providers. Their credentials are only counted."""
        state = await self._store.load()
        return pb.ListProvidersResponse(providers=[render.provider(each) for each in state.providers.values()])

    @reporting
    async def PutProvider(self, request: pb.PutProviderRequest, context: Context) -> pb.PutProviderResponse:
        """Creates or replaces a provider. Credentials that are left out stay; a base URL at another host is then
        refused.
        """
        with checking("provider") as problems:
            parsed = parse.provider(request.provider, problems)

        def work(transaction: Transaction) -> Provider:
            return writing.providers.put(
                transaction,
                parsed.provider,
                expected=parsed.version,
                keep_credentials=parsed.keep_credentials,
            )

        committed = await self._changes.write(actor_of(context), work)
        return pb.PutProviderResponse(
            provider=render.provider(committed.value),
            propagation=await self._changes.settled(committed.revision),
        )

    @reporting
    async def DeleteProvider(
        self, request: pb.DeleteProviderRequest, context: Context
    ) -> pb.DeleteProviderResponse:
        """Deletes a provider. Raises InUseError while a route uses it."""

        def work(transaction: Transaction) -> None:
            writing.providers.delete(transaction, request.name, expected=request.version)

        committed = await self._changes.write(actor_of(context), work)
        return pb.DeleteProviderResponse(propagation=await self._changes.settled(committed.revision))

    @reporting
    async def ListQuotas(self, request: pb.ListQuotasRequest, context: Context) -> pb.ListQuotasResponse:
        """Returns the remaining quotas at every gateway. Raises NotFoundError for an unknown provider."""
        known = (await self._store.load()).providers
        if request.provider and request.provider not in known:
            raise NotFoundError(f"provider: no provider {values.quoted(request.provider)}")
        return await self._resting.headroom(request.provider)

    @reporting
    async def ListRoutes(self, request: pb.ListRoutesRequest, context: Context) -> pb.ListRoutesResponse:
        """Returns everybody's routes and those of the caller's organisations."""
        caller = current()
        found = render.routes(await self._store.load())
        seen = [each for each in found if not each.organisation or caller.role_in(each.organisation)]
        return pb.ListRoutesResponse(routes=seen)

    @reporting
    async def PutRoute(self, request: pb.PutRouteRequest, context: Context) -> pb.PutRouteResponse:
        """Creates or replaces a route. Prices that have begun stay in its history."""

        def work(transaction: Transaction) -> Route:
            with checking("route") as problems:
                parsed = parse.route(
                    request.route,
                    problems,
                    providers=transaction.provider_names(),
                    organisations=transaction.organisation_ids,
                )
            return writing.routes.put(
                transaction, parsed.route, organisation=parsed.organisation, expected=parsed.version
            )

        committed = await self._changes.write(actor_of(context), work)
        return pb.PutRouteResponse(
            route=render.route(committed.value, request.route.organisation),
            propagation=await self._changes.settled(committed.revision),
            warnings=warnings.of_route(request.route, "route."),
        )

    @reporting
    async def DeleteRoute(self, request: pb.DeleteRouteRequest, context: Context) -> pb.DeleteRouteResponse:
        """Deletes a route with its price history."""

        def work(transaction: Transaction) -> None:
            writing.routes.delete(
                transaction, request.model, organisation=request.organisation, expected=request.version
            )

        committed = await self._changes.write(actor_of(context), work)
        return pb.DeleteRouteResponse(propagation=await self._changes.settled(committed.revision))

    @reporting
    async def ListOrganisations(
        self, request: pb.ListOrganisationsRequest, context: Context
    ) -> pb.ListOrganisationsResponse:
        """Returns the organisations in which the caller has a role, by name."""
        found = (await self._store.load()).organisations.values()
        caller = current()
        seen = (each for each in found if caller.role_in(each.name))
        ordered = sorted(seen, key=lambda each: each.name)
        return pb.ListOrganisationsResponse(organisations=[render.organisation(each) for each in ordered])

    @reporting
    async def PutOrganisation(
        self, request: pb.PutOrganisationRequest, context: Context
    ) -> pb.PutOrganisationResponse:
        """Creates an organisation, or replaces its limits and weight. Keys are changed by their own calls."""
        message = request.organisation
        with checking("organisation") as problems:
            values.name(message.name, problems.at("name"))
            limits, weight = limits_of(message.limits, problems), parse.weight(message, problems)

        def work(transaction: Transaction) -> Organisation:
            return writing.organisations.put(
                transaction, message.name, limits=limits, weight=weight, expected=message.version
            )

        committed = await self._changes.write(actor_of(context), work)
        return pb.PutOrganisationResponse(
            organisation=render.organisation(committed.value),
            propagation=await self._changes.settled(committed.revision),
        )

    @reporting
    async def DeleteOrganisation(
        self, request: pb.DeleteOrganisationRequest, context: Context
    ) -> pb.DeleteOrganisationResponse:
        """Deletes an organisation with its nodes, keys and own routes."""

        def work(transaction: Transaction) -> None:
            writing.organisations.delete(transaction, request.name, expected=request.version)

        committed = await self._changes.write(actor_of(context), work)
        return pb.DeleteOrganisationResponse(propagation=await self._changes.settled(committed.revision))

    @reporting
    async def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: Context
    ) -> pb.ListAuditEventsResponse:
        """Returns events, newest first: all for an admin, those of their organisations for owners."""
        with checking() as problems:
            values.number(request.page_size, 0, _MAX_PAGE, "(0 = 100)", problems.at("page_size"))
            values.number(request.before_id, 0, 2**62, "", problems.at("before_id"))
            if request.object_type and request.object_type not in list(ObjectType):
                shown = values.quoted(request.object_type)
                problems.at("object_type").note(f"{shown} is not known; accepted: {', '.join(ObjectType)}")
        state = await self._store.load()
        query = AuditQuery(
            limit=request.page_size or _PAGE,
            before_id=request.before_id,
            object_type=request.object_type,
            object_name=request.object_name,
            organisation_ids=self._audited(state, request.organisation),
        )
        events = await self._store.audit_events(query)
        return pb.ListAuditEventsResponse(events=[render.audit_event(each, state) for each in events])

    def _audited(self, state: DesiredState, organisation: str) -> tuple[str, ...] | None:
        """Returns the ids of the organisations whose changes the caller reads; None: everybody's.

        Raises NotFoundError.
        """
        caller = current()
        if caller.is_admin and not organisation:
            return None
        found = tuple(
            each.id
            for each in state.organisations.values()
            if organisation in {"", each.name} and caller.role_in(each.name) is Role.OWNER
        )
        if organisation and not found:
            raise NotFoundError(f"organisation: no organisation {values.quoted(organisation)}")
        return found

    @reporting
    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        """Returns the state of clients and services. It answers even if the database was replaced, and reports
        that.
        """
        revision = refused = 0
        problems = list(self._troubles.reasons)
        alerts: list[pb.LimitAlert] = []
        rests: Sequence[pb.RestAlert] = ()
        try:
            state = await self._store.load()
            revision = state.revision
            _, refused = await self._ledger.refused(0)
            alerts = await limit_uses.alerts(self._ledger, state)
            rests = await self._resting.alerts()
        except DatabaseReplacedError as error:
            problems = problems if error.reason in problems else [*problems, error.reason]
        return status.status(
            revision,
            self._clients,
            refused_records=refused,
            certificate=self._certificate,
            problems=problems,
            alerts=alerts,
            rests=rests,
            tasks=self._background.running,
            arrivals=self._arrivals.by_source(),
        )


def _mode(request: pb.ApplyRequest, problems: Problems) -> Mode:
    """Returns the mode of an Apply; without named sections, those with entries count."""
    if request.managed_by not in {"", managers.API}:
        _manager(request.managed_by, problems.at("managed_by"))
    for index, section in enumerate(request.sections):
        if section not in SECTIONS and section not in GATEWAY_SECTIONS:
            accepted = ", ".join(sorted(SECTIONS.union(GATEWAY_SECTIONS)))
            problems.at("sections", index).note(f"{values.quoted(section)} is not known; accepted: {accepted}")
    present = {name for name in SECTIONS if getattr(request.document, name)}
    return Mode(
        request.managed_by or managers.DEFAULT_FILE,
        request.take_over,
        request.prune,
        frozenset(request.sections or present),
    )


def _manager(text: str, problems: Problems) -> None:
    name = text.removeprefix(managers.FILE_PREFIX)
    if not managers.is_file(text) or not values.is_name(name):
        problems.note(
            f"{values.quoted(text)} is not accepted; accepted: api, or file:NAME, NAME of {values.NAME_RULE}"
        )
