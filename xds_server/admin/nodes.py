"""The Admin service's methods for nodes."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc

from xds_server.accounts.caller import current
from xds_server.admin import enums, former_names, render, values
from xds_server.admin.calls import Changes, actor_of
from xds_server.admin.ports import LiveNodes, Tunnel
from xds_server.admin.problems import Problems, checking, known
from xds_server.errors import NotFoundError, NoTunnelListenError
from xds_server.ledger.contributions import SUMS, Contribution, ContributionDimension
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.model import Node, Visibility
from xds_server.rpc.reporting import reporting
from xds_server.store import AsyncStore, node_names, writing
from xds_server.store.records import JoinTokenRecord
from xds_server.store.settings import Invitation, NodeChange
from xds_server.usage import records

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

_DAY = 86_400
_TTL, _MAX_TTL = 3_600, 30 * _DAY
_MIN_BOOST, _MAX_BOOST = 10, 1_000

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class NodeMethods(admin_pb2_grpc.AdminServicer):
    """The part of the service that deals with nodes."""

    _store: AsyncStore
    _ledger: LedgerReader
    _changes: Changes
    _tunnel: Tunnel | None
    _live: LiveNodes

    @reporting
    async def InviteNode(self, request: pb.InviteNodeRequest, context: Context) -> pb.InviteNodeResponse:
        """Creates a join token. Raises NoTunnelListenError if there is no listener at which nodes could join."""
        with checking() as problems:
            values.number(request.ttl_seconds, 0, _MAX_TTL, f"seconds (0 = {_TTL:,})", problems.at("ttl_seconds"))
            visibility = enums.read(Visibility, request, "visibility", Visibility.ORGANISATION, problems)
            if request.owner_key:
                values.name(request.owner_key, problems.at("owner_key"))
            if request.name:
                _name(request.name, problems.at("name"))
        invitation = Invitation(
            owner_key=request.owner_key,
            name=request.name,
            visibility=visibility,
            require_approval=request.require_approval,
            ttl_seconds=request.ttl_seconds or _TTL,
        )
        tunnel, maker = self._tunnel, current().user_id

        def work(transaction: Transaction) -> tuple[JoinTokenRecord, str]:
            with checking() as problems:
                if request.organisation not in transaction.organisation_ids:
                    problems.at("organisation").note(
                        f"no organisation {values.quoted(request.organisation)}; "
                        f"{known(transaction.organisation_ids)}"
                    )
            if tunnel is None:
                raise NoTunnelListenError(
                    "no node can join: this control plane has no tunnel listener; start it with --tunnel-listen"
                )
            return writing.join_tokens.invite(
                transaction,
                request.organisation,
                invitation,
                fingerprint=tunnel.fingerprint,
                created_by=maker,
            )

        token, value = (await self._changes.write(actor_of(context), work)).value
        return pb.InviteNodeResponse(
            token=value, join_url=tunnel.url if tunnel else "", expires_at=token.expires_at
        )

    @reporting
    async def ListNodes(self, request: pb.ListNodesRequest, context: Context) -> pb.ListNodesResponse:
        """Returns the nodes that the caller sees. Raises NotFoundError for an unknown organisation."""
        state = await self._store.load()
        names = {each.name for each in state.organisations.values()}
        if request.organisation and request.organisation not in names:
            raise NotFoundError(
                f"organisation: no organisation {values.quoted(request.organisation)}; {known(names)}"
            )
        caller = current()
        seen = {
            id_: each
            for id_, each in state.nodes.items()
            if caller.sees(state.owners[each.organisation_id], each.owner_key_id)
        }
        return pb.ListNodesResponse(
            nodes=render.nodes(replace(state, nodes=seen), self._live, request.organisation)
        )

    @reporting
    async def UpdateNode(self, request: pb.UpdateNodeRequest, context: Context) -> pb.UpdateNodeResponse:
        """Changes the fields that are given."""
        with checking() as problems:
            change = _change(request, problems)

        def work(transaction: Transaction) -> Node:
            return writing.nodes.update(transaction, request.node_id, change, expected=request.version)

        committed = await self._changes.write(actor_of(context), work)
        settled = await self._changes.settled(committed.revision)
        return pb.UpdateNodeResponse(node=await self._rendered(committed.value), propagation=settled)

    @reporting
    async def RemoveNode(self, request: pb.RemoveNodeRequest, context: Context) -> pb.RemoveNodeResponse:
        """Removes a node and invalidates its certificate."""
        with checking() as problems:
            _reference(request.node_id, request.version, problems)

        def work(transaction: Transaction) -> Node:
            return writing.nodes.remove(transaction, request.node_id, expected=request.version)

        committed = await self._changes.write(actor_of(context), work)
        return pb.RemoveNodeResponse(propagation=await self._changes.settled(committed.revision))

    @reporting
    async def ReportContributions(
        self, request: pb.ReportContributionsRequest, context: Context
    ) -> pb.ReportContributionsResponse:
        """Reports what the nodes that the caller sees have served and earned."""
        with checking() as problems:
            by = _by(request.by, problems) or (ContributionDimension.NODE,)
            values.period(request, problems)
        organisation_id = await former_names.organisation_id(self._ledger, request.organisation, "organisation")
        wanted = Filter(
            since=request.since, until=request.until, organisation_id=organisation_id, within=current().reads
        )
        lines = await self._ledger.contributions(wanted, by)
        return pb.ReportContributionsResponse(rows=map(_contribution, lines))

    async def _rendered(self, node: Node) -> pb.Node:
        """Renders the node as it was written, even if it has changed since."""
        state = await self._store.load()
        owner, key = state.organisations.get(node.organisation_id), state.keys.get(node.owner_key_id)
        return render.node(
            node, owner.name if owner else "", key.name if key else "", self._live.describe(node.id)
        )


def _change(request: pb.UpdateNodeRequest, problems: Problems) -> NodeChange:
    _reference(request.node_id, request.version, problems)
    if request.HasField("name"):
        _name(request.name, problems.at("name"))
    visibility = enums.optional(Visibility, request, "visibility")
    if request.HasField("visibility") and visibility is None:
        problems.at("visibility").note(f"not a known value; accepted: {', '.join(Visibility)}")
    if request.HasField("boost_percent"):
        values.number(request.boost_percent, _MIN_BOOST, _MAX_BOOST, "percent", problems.at("boost_percent"))
    return NodeChange(
        name=request.name if request.HasField("name") else None,
        visibility=visibility,
        approved=request.approved if request.HasField("approved") else None,
        drained=request.drained if request.HasField("drained") else None,
        boost=request.boost_percent if request.HasField("boost_percent") else None,
    )


def _reference(text: str, version: int, problems: Problems) -> None:
    if not 1 <= len(text) <= 200 or not text.isprintable():
        problems.at("node_id").note("accepted: a node's id, its name if it is unique, or organisation/name")
    values.number(version, 0, 2**62, "(0 = any)", problems.at("version"))


def _name(text: str, problems: Problems) -> None:
    values.name(text, problems)
    if node_names.is_id(text):
        problems.note(f"{values.quoted(text)} looks like a node's id; choose a name that does not")


def _by(names: Iterable[str], problems: Problems) -> tuple[ContributionDimension, ...]:
    found: list[ContributionDimension] = []
    for index, name in enumerate(names):
        if name not in list(ContributionDimension):
            problems.at("by", index).note(
                f"{values.quoted(name)} is not known; accepted: {', '.join(ContributionDimension)}"
            )
        elif ContributionDimension(name) in found:
            problems.at("by", index).note(f"{name} is given twice")
        else:
            found.append(ContributionDimension(name))
    return tuple(found)


def _contribution(of: Contribution) -> pb.Contribution:
    day = datetime.fromtimestamp(of.day * _DAY, UTC).strftime("%Y-%m-%d") if of.day >= 0 else ""
    sums = dict(zip(SUMS, of.sums, strict=True))
    return pb.Contribution(
        node_id=of.node_id,
        node_name=of.node_name,
        owner=of.owner,
        model=of.model,
        day=day,
        uptime_seconds=of.uptime_seconds,
        earned_micro_usd=records.micro_usd(sums["earned_nano_usd"]),
        **sums,
    )
