"""Compares a proposed route with the one there is, by the requests of the past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xds_server.model import Route, Target, price_in_force
from xds_server.routing.measured import Measured
from xds_server.routing.outcome import TargetOutcome, measured_of, recorded, replayed
from xds_server.routing.replay import AllRoutes, Replay, Scope
from xds_server.routing.slots import Slot
from xds_server.routing.strategies import MEASURED
from xds_server.usage.records import Columns

#: Requests below which figures of a target are called uncertain.
_FEW = 30


@dataclass(frozen=True, slots=True)
class Proposal:
    """A route as it would be, the one there is if any, and whose requests are replayed."""

    proposed: Route
    current: Route | None
    scope: Scope


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """The replayed requests, by target: as recorded, with the current route, and with the proposed one.

    `failed` were answered by no target and `cached` by the gateway: neither is replayed. `measured` is what is
    known of each target. `notes` say what the figures do not know.
    """

    proposal: Proposal
    requests: int
    failed: int
    cached: int
    recorded: Mapping[str, TargetOutcome]
    now: Mapping[str, TargetOutcome] | None
    proposed: Mapping[str, TargetOutcome]
    measured: Mapping[str, Measured]
    notes: Sequence[str]


class Simulation:
    """Takes in records, in any order, and says what they would have become. Prices are those in force at `at`."""

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
        """One for each proposal, in their order."""
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

    def _notes(self, proposal: Proposal, replay: Replay, own: Mapping[str, Slot]) -> Iterator[str]:
        if proposal.current is None:
            yield "there is no such route now: nothing to compare with"
        if not replay.periods:
            yield "no request that a target answered is recorded of this time: there is nothing to replay"
        for target in proposal.proposed.targets:
            yield from self._notes_on(target.id, proposal.proposed, own)
            if price_in_force(target.prices, self._at) is None:
                yield f"{target.id}: it has no price, so its requests count as free of charge"
            elif any(price.valid_from > self._at for price in target.prices):
                yield f"{target.id}: its price to come is not part of this"
        said = {target.id for target in proposal.proposed.targets if not price_in_force(target.prices, self._at)}
        for target in _targets(proposal.current):
            if price_in_force(target.prices, self._at) is None and target.id not in said:
                yield f"{target.id}: it has no price in the route there is now, and counts as free of charge there"
        if replay.with_images:
            yield "images cost their default price here: their sizes are not recorded"

    def _notes_on(self, target_id: str, route: Route, own: Mapping[str, Slot]) -> Iterator[str]:
        slot = own.get(target_id)
        if slot is not None and slot.served:
            if slot.served < _FEW:
                yield f"{target_id}: it served only {slot.served} of the requests that were read"
        elif (other := self._everywhere.targets.get(target_id)) is not None and other.served:
            yield f"{target_id}: it was measured with requests of other routes only"
        elif route.strategy in MEASURED:
            yield (
                f"{target_id}: it has no measurements, so its speed is unknown and the strategy {route.strategy} "
                "cannot rank it by its speed yet"
            )
        else:
            yield f"{target_id}: it has no measurements, so its requests are left out of the expected times"


def _targets(route: Route | None) -> tuple[Target, ...]:
    return route.targets if route is not None else ()
