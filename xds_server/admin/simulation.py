"""The part of the Admin service that simulates routes: nothing is stored, and nothing is published."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc

from xds_server.admin import values
from xds_server.admin.apply import Mode, apply
from xds_server.admin.calls import actor_of
from xds_server.admin.problems import checking, known
from xds_server.errors import NotFoundError
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.sampling import Coverage
from xds_server.model import DesiredState, Route
from xds_server.routing.outcome import Outcome, TargetOutcome, total
from xds_server.routing.replay import ReplayScope
from xds_server.routing.simulation import Proposal, Simulation, SimulationResult
from xds_server.rpc.reporting import reporting
from xds_server.store import AsyncStore

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

_DAY = 86_400
_MICRO = 1e6

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class SimulationMethods(admin_pb2_grpc.AdminServicer):
    """Methods that show what proposed routes would have done."""

    _store: AsyncStore
    _ledger: LedgerReader

    @reporting
    async def SimulateRoutes(
        self, request: pb.SimulateRoutesRequest, context: Context
    ) -> pb.SimulateRoutesResponse:
        """Applies the document to a transaction that is rolled back, and replays past requests with the result."""
        with checking() as problems:
            if not request.HasField("document"):
                problems.at("document").note("missing")
            values.period(request, problems)
        current = await self._store.load()

        def propose(transaction: Transaction) -> DesiredState:
            apply(transaction, request.document, Mode(take_over=True))
            return transaction.state()

        proposed = (await self._store.write(actor_of(context), propose, dry_run=True)).value
        now = time.time()
        until = request.until or int(now) + 1
        wanted = Filter(since=request.since or until - _DAY, until=until)
        simulation = Simulation(_proposals(request, current, proposed), wanted.times_us, now)
        coverage = await self._ledger.sample(wanted, simulation.add)
        # Runs in a thread because many routes take a while, and other calls must get through meanwhile.
        results = await asyncio.to_thread(simulation.result)
        return pb.SimulateRoutesResponse(
            routes=[_route(each, coverage, proposed.owners) for each in results],
            since=wanted.since,
            until=wanted.until,
            records=coverage.records,
            sampled_permille=round(1_000 / coverage.factor),
        )


def _proposals(request: pb.SimulateRoutesRequest, current: DesiredState, proposed: DesiredState) -> list[Proposal]:
    """Returns the document's routes that the request selects. Raises NotFoundError."""
    names = set(proposed.owners.values())
    if request.organisation not in names:
        shown = values.quoted(request.organisation)
        raise NotFoundError(f"organisation: no organisation {shown}; {known(list(filter(None, names)))}")
    found = list(_asked_for(request, current, proposed))
    if not found:
        models = known(sorted({each.model for each in request.document.routes}), request.model)
        asked = f"no route {values.quoted(request.model)}" if request.model else "no route"
        seen = f" that {values.quoted(request.organisation)} sees" if request.organisation else ""
        raise NotFoundError(f"document.routes: {asked}{seen}; {models}")
    return found


def _asked_for(
    request: pb.SimulateRoutesRequest, current: DesiredState, proposed: DesiredState
) -> Iterator[Proposal]:
    before, after = _by_owner(current), _by_owner(proposed)
    ids = {name: id_ for id_, name in proposed.owners.items()}
    asked = request.organisation
    for message in request.document.routes:
        owner, model = message.organisation, message.model
        is_hidden = bool(asked) and not owner and (asked, model) in after
        if (request.model and model != request.model) or (asked and owner not in {"", asked}) or is_hidden:
            continue
        # An organisation that gets its own route has used everybody's until now.
        current_route = before.get((owner or asked, model)) or before.get(("", model))
        others = {ids[name] for name, named in (*before, *after) if name and named == model and name in ids}
        scope = ReplayScope(
            model,
            organisation_id=ids[owner or asked] if owner or asked else "",
            but=frozenset() if owner or asked else frozenset(others),
        )
        yield Proposal(after[owner, model], current_route, scope)


def _by_owner(state: DesiredState) -> Mapping[tuple[str, str], Route]:
    """Maps the owner's name (empty for everybody's) and the model to a route."""
    owners = state.owners
    return {(owners[each.organisation_id], each.model): each for each in state.routes.values()}


def _route(of: SimulationResult, coverage: Coverage, owners: Mapping[str, str]) -> pb.SimulatedRoute:
    route, scale = of.proposal.proposed, coverage.factor
    return pb.SimulatedRoute(
        model=route.model,
        organisation=owners[route.organisation_id],
        requests=round(of.requests * scale),
        failed_requests=round(of.failed * scale),
        cached_requests=round(of.cached * scale),
        recorded=_all(of.recorded, scale),
        now=_all(of.now, scale) if of.now is not None else None,
        proposed=_all(of.proposed, scale),
        targets=[_target(target_id, of, scale) for target_id in of.measured],
        notes=of.notes,
        note_codes=[each.coded for each in of.notes],
    )


def _target(target_id: str, of: SimulationResult, scale: float) -> pb.SimulatedTarget:
    measured = of.measured[target_id]
    pace = measured.token_us
    return pb.SimulatedTarget(
        target_id=target_id,
        recorded=_one(of.recorded, target_id, scale),
        now=_one(of.now, target_id, scale),
        proposed=_one(of.proposed, target_id, scale),
        attempts=measured.attempts,
        error_permille=round(1_000 * measured.error_rate),
        limit_permille=round(1_000 * measured.limit_rate),
        cached_permille=round(1_000 * (measured.cached_share or 0.0)),
        millitokens_per_second=round(1_000 * _MICRO / pace.value) if pace.samples else 0,
    )


def _all(outcome: Outcome, scale: float) -> pb.SimulatedOutcome:
    whole = total(outcome)
    return _outcome(whole, whole, scale)


def _one(outcome: Outcome | None, target_id: str, scale: float) -> pb.SimulatedOutcome | None:
    if outcome is None or target_id not in outcome:
        return None
    return _outcome(outcome[target_id], total(outcome), scale)


def _outcome(part: TargetOutcome, whole: TargetOutcome, scale: float) -> pb.SimulatedOutcome:
    return pb.SimulatedOutcome(
        share_permille=round(1_000 * part.requests / whole.requests) if whole.requests else 0,
        cost_nano_usd=round(part.nano_usd * scale),
        duration_us=round(_MICRO * (part.mean_seconds or 0.0)),
        first_byte_p50_us=part.first_byte_us(0.50),
        first_byte_p95_us=part.first_byte_us(0.95),
        unmeasured_permille=round(1_000 * (1 - part.timed / part.requests)) if part.requests else 0,
    )
