"""Compares a proposed route with the current one, by past requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xds_server.model import Route, Target
from xds_server.prices import price_in_force
from xds_server.reasons import Reason
from xds_server.routing.measured import Measured
from xds_server.routing.outcome import TargetOutcome, measured_of, recorded, replayed
from xds_server.routing.replay import AllRoutes, Replay, ReplayScope
from xds_server.routing.slots import Slot
from xds_server.routing.strategies import MEASURED
from xds_server.usage.records import Columns

#: With fewer requests, a target's figures are called uncertain.
_FEW = 30


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed route, the current one if there is any, and whose requests are replayed."""

    proposed: Route
    current: Route | None
    scope: ReplayScope


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """The replayed requests by target: as recorded, with the current route, and with the proposed one.

    `failed` were answered by no target and `cached` by the gateway: neither is replayed. `measured` has the
    measurements of each target. `notes` say what the figures leave out.
    """

    proposal: Proposal
    requests: int
    failed: int
    cached: int
    recorded: Mapping[str, TargetOutcome]
    now: Mapping[str, TargetOutcome] | None
    proposed: Mapping[str, TargetOutcome]
    measured: Mapping[str, Measured]
    notes: Sequence[Reason]


class Simulation:
    """Takes records in any order and computes their outcome. Prices are those in force at `at`."""

    def __init__(self, proposals: Sequence[Proposal], times_us: range, at: float) -> None:
        self._at = at
        self._replays = [
            (each, Replay(each.scope, [route for route in (each.proposed, each.current) if route], times_us, at))
            for each in proposals
        ]
        self._everywhere = AllRoutes(
            {target.id for each in proposals for target in (*each.proposed.targets, *_targets(each.current))}
        )

    def add(self, batch: Columns) -> None:
        """Adds records of any route."""
        self._everywhere.add(batch)
        for _, replay in self._replays:
            replay.add(batch)

    def result(self) -> list[SimulationResult]:
        """Returns one result for each proposal, in their order."""
        return [self._simulated(proposal, replay) for proposal, replay in self._replays]

    def _simulated(self, proposal: Proposal, replay: Replay) -> SimulationResult:
        elsewhere, own, current = self._everywhere.targets, replay.targets, proposal.current
        ids = dict.fromkeys(
            each.id for route in (proposal.proposed, current) if route is not None for each in route.targets
        )
        return SimulationResult(
            proposal,
            sum(period.requests for period in replay.periods.values()),
            replay.failed,
            replay.cached,
            recorded(replay),
            replayed(replay, current, elsewhere, self._at) if current is not None else None,
            replayed(replay, proposal.proposed, elsewhere, self._at),
            {each: measured_of(own.get(each) or elsewhere.get(each) or Slot()) for each in (*ids, *own)},
            list(self._notes(proposal, replay, own)),
        )

    def _notes(self, proposal: Proposal, replay: Replay, own: Mapping[str, Slot]) -> Iterator[Reason]:
        if proposal.current is None:
            yield Reason.of("note.no_route")
        if not replay.periods:
            yield Reason.of("note.no_request")
        for target in proposal.proposed.targets:
            yield from self._notes_on(target.id, proposal.proposed, own)
            if price_in_force(target.prices, self._at) is None:
                yield Reason.of("note.no_price", target.id)
            elif any(price.valid_from > self._at for price in target.prices):
                yield Reason.of("note.price_to_come", target.id)
        said = {target.id for target in proposal.proposed.targets if not price_in_force(target.prices, self._at)}
        for target in _targets(proposal.current):
            if price_in_force(target.prices, self._at) is None and target.id not in said:
                yield Reason.of("note.no_price_now", target.id)
        if replay.with_images:
            yield Reason.of("note.images")

    def _notes_on(self, target_id: str, route: Route, own: Mapping[str, Slot]) -> Iterator[Reason]:
        slot = own.get(target_id)
        if slot is not None and slot.served:
            if slot.served < _FEW:
                yield Reason.of("note.few", target_id, slot.served)
        elif (other := self._everywhere.targets.get(target_id)) is not None and other.served:
            yield Reason.of("note.elsewhere", target_id)
        elif route.strategy in MEASURED:
            yield Reason.of("note.no_speed", target_id, route.strategy)
        else:
            yield Reason.of("note.no_measurements", target_id)


def _targets(route: Route | None) -> tuple[Target, ...]:
    return route.targets if route is not None else ()
