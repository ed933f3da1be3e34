"""Computes the outcome of replayed requests with one variant of their route."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from xds_server.model import Route
from xds_server.prices import price_in_force
from xds_server.routing.measured import ENOUGH_FAILURES, Measured, RequestMix
from xds_server.routing.ranking import Ranking
from xds_server.routing.replay import Period, Replay
from xds_server.routing.scores import MAX_FAILURES, attempt_seconds, expected_time
from xds_server.routing.slots import Slot
from xds_server.routing.strategies import ranked, score_targets
from xds_server.routing.tiers import Weighted, grouped, tiers
from xds_server.routing.window import MIN_SAMPLES, median
from xds_server.usage import histogram

#: The weight of a whole request in a histogram, which counts whole numbers.
_FINE = 1_000


@dataclass(slots=True)
class TargetOutcome:
    """The load of one target: requests (or fractions of them), nano-USD, and the seconds of `timed` requests. The
    first bytes of streams are a histogram of microseconds with weights.
    """

    requests: float = 0.0
    nano_usd: float = 0.0
    timed: float = 0.0
    seconds: float = 0.0
    first_us: dict[int, float] = field(default_factory=dict)

    def add(self, other: TargetOutcome) -> None:
        """Adds another outcome of the same target."""
        self.requests += other.requests
        self.nano_usd += other.nano_usd
        self.timed += other.timed
        self.seconds += other.seconds
        for index, weight in other.first_us.items():
            self.first_us[index] = self.first_us.get(index, 0.0) + weight

    @property
    def mean_seconds(self) -> float | None:
        """Returns the mean; None if nothing was timed."""
        return self.seconds / self.timed if self.timed else None

    def first_byte_us(self, share: float) -> int:
        """Returns the time that `share` of the streams do not exceed; 0 if nothing is known."""
        counts = {index: round(weight * _FINE) for index, weight in self.first_us.items()}
        return histogram.percentile({index: count for index, count in counts.items() if count}, share)


Outcome = Mapping[str, TargetOutcome]


def total(outcome: Outcome) -> TargetOutcome:
    """Returns the sum over all targets."""
    found = TargetOutcome()
    for each in outcome.values():
        found.add(each)
    return found


def recorded(replay: Replay) -> dict[str, TargetOutcome]:
    """Returns the real outcome of the replayed requests, by target."""
    return {
        target_id: TargetOutcome(
            each.requests,
            each.nano_usd,
            each.requests,
            each.duration_us / 1e6,
            {index: float(count) for index, count in each.first_us.items()},
        )
        for target_id, each in replay.recorded.items()
    }


def replayed(replay: Replay, route: Route, elsewhere: Mapping[str, Slot], at: float) -> dict[str, TargetOutcome]:
    """Returns their outcome with `route`, at the prices in force at `at`.

    A target that served too few requests of a period goes by its measurements in all periods. A target that served
    none at all goes by its measurements `elsewhere`, in the requests of any route.
    """
    route = _at_prices_of(route, at)
    always = replay.targets
    found = {target.id: TargetOutcome() for target in route.targets}
    rankings: dict[tuple[str, int], Ranking] = {}
    for number, period in sorted(replay.periods.items()):
        known = {
            target.id: _measured_times(
                period.targets.get(target.id) or Slot(), always.get(target.id), elsewhere.get(target.id)
            )
            for target in route.targets
        }
        measured = {target_id: each.measured for target_id, each in known.items()}
        mix = mix_of(period.targets.values())
        start = replay.start_of(number)
        for tier, targets in grouped(route):
            scored = score_targets(route, targets, measured, mix, at)
            ranking = ranked(scored, route, rankings.get((route.id, tier)), start)
            if ranking is not None:
                rankings[route.id, tier] = ranking
        for target_id, each in _of_period(route, period, known, mix, tiers(route, at, rankings)).items():
            found[target_id].add(each)
    return found


def _of_period(
    route: Route,
    period: Period,
    known: Mapping[str, _MeasuredTimes],
    mix: RequestMix,
    weighted: Sequence[Sequence[Weighted]],
) -> dict[str, TargetOutcome]:
    failures = {
        target_id: min(each.measured.error_rate + each.measured.limit_rate, MAX_FAILURES)
        for target_id, each in known.items()
    }
    tried = [[each for each in tier if not each.target.paused] for tier in weighted]
    served, failed = divide([tier for tier in tried if tier], failures)
    found: dict[str, TargetOutcome] = {}
    for target in route.targets:
        share = served.get(target.id, 0.0)
        measured = known[target.id].measured
        part = found[target.id] = TargetOutcome(period.requests * share)
        if target.prices:
            costs = period.costs[target.id, target.prices[-1]]
            warm = mix.cached_share if measured.cached_share is None else measured.cached_share
            part.nano_usd = share * (costs.own + costs.cold + warm * (costs.warm - costs.cold))
        time = expected_time(replace(measured, error_rate=0.0, limit_rate=0.0), mix)
        if time is not None:
            part.timed = part.requests
            part.seconds = part.requests * time.seconds
            part.seconds += period.requests * failed.get(target.id, 0.0) * attempt_seconds(measured)
        streams = known[target.id].slot.first_us
        number = sum(streams.values())
        weight = part.requests * mix.stream_share / number if number else 0.0
        part.first_us = {index: weight * count for index, count in streams.items()} if weight else {}
    return found


def divide(
    weighted: Sequence[Sequence[Weighted]], failures: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the share of all requests that each target serves, and the share that it fails before another one
    serves.

    Requests begin in the first tier by weight, and go on in failover order. `failures` are the shares of attempts
    that fail. Requests that fail everywhere are divided like the rest.
    """
    order = [each.target.id for tier in weighted for each in tier]
    served, failed = dict.fromkeys(order, 0.0), dict.fromkeys(order, 0.0)
    for first in weighted[0] if weighted else ():
        left = float(first.weight)
        for target_id in (first.target.id, *(each for each in order if each != first.target.id)):
            share = failures.get(target_id, 0.0)
            served[target_id] += left * (1 - share)
            failed[target_id] += left * share
            left *= share
    whole = sum(served.values()) or 1.0
    return (
        {target_id: each / whole for target_id, each in served.items()},
        {target_id: each / whole for target_id, each in failed.items()},
    )


def measured_of(slot: Slot) -> Measured:
    """Returns the measurements of a slot of any length."""
    attempts = _attempts(slot)
    return Measured(
        first_us=median(slot.first_us),
        token_us=median(slot.token_us),
        whole_us=median(slot.whole_us),
        attempts=attempts,
        error_rate=slot.failed / (attempts + 1),
        limit_rate=slot.limited / (attempts + 1),
        cached_share=min(1.0, slot.cached_tokens / slot.prompt_tokens) if slot.prompt_tokens else None,
    )


def mix_of(slots: Iterable[Slot]) -> RequestMix:
    """Returns the typical request of slots of any length."""
    whole = Slot()
    for slot in slots:
        whole.add(slot)
    return RequestMix.of(
        whole.prompt_tokens,
        whole.cached_tokens,
        whole.completion_tokens,
        reported=whole.reported,
        streams=whole.streams,
        served=whole.served,
    )


class _MeasuredTimes(NamedTuple):
    """A slot with a target's times, and the target's measurements."""

    slot: Slot
    measured: Measured


def _measured_times(now: Slot, *otherwise: Slot | None) -> _MeasuredTimes:
    """Takes times and failures from the first slot with enough samples of each, otherwise from the last one with
    any.
    """
    slots = [now, *(slot for slot in otherwise if slot is not None)]
    times = _sufficient(slots, lambda slot: slot.served)
    rates = measured_of(_sufficient(slots, _attempts))
    is_failing = not now.served and now.failed >= ENOUGH_FAILURES
    measured = replace(
        measured_of(times),
        error_rate=rates.error_rate,
        limit_rate=rates.limit_rate,
        is_failing=is_failing,
        is_down=is_failing,
    )
    return _MeasuredTimes(times, measured)


def _sufficient(slots: Sequence[Slot], samples: Callable[[Slot], int]) -> Slot:
    used = [slot for slot in slots if samples(slot)]
    return next((slot for slot in used if samples(slot) >= MIN_SAMPLES), used[-1] if used else Slot())


def _attempts(slot: Slot) -> int:
    return slot.served + slot.failed + slot.limited


def _at_prices_of(route: Route, at: float) -> Route:
    """Returns the route with only the prices in force at `at`."""
    prices = [price_in_force(target.prices, at) for target in route.targets]
    targets = (
        replace(target, prices=() if price is None else (price,))
        for target, price in zip(route.targets, prices, strict=True)
    )
    return replace(route, targets=tuple(targets))
