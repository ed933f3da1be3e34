"""Replays recorded requests against a route: which targets would have served them, how fast, at which price.

Time is divided into periods. In each period the route's strategy ranks its targets by the measurements of that
period. The period's requests go to the targets by the resulting weights, and on to the next target if one fails.
Batches of records may arrive in any order, and may be a sample.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from xds_server.model import Route
from xds_server.prices import TargetPrice, price_in_force
from xds_server.routing.pricing import RequestUsage, Tariff
from xds_server.routing.slots import Slot, summarise
from xds_server.usage import histogram
from xds_server.usage.records import Columns, chosen

#: Periods of a replay of any time range: more periods would have too few requests each.
MAX_PERIODS = 96
_MIN_PERIOD_US = 300_000_000
_USED = (
    "prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "audio_prompt_tokens", "audio_completion_tokens", "images", "audio_in_ms", "audio_out_ms",
    "characters", "search_units", "service_tier",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReplayScope:
    """Selects the requests for a model to replay: those of one organisation, or of all `but` some."""

    model: str
    organisation_id: str = ""
    but: frozenset[str] = frozenset()

    def matching(self, requests: Columns) -> list[int]:
        """Returns the indices of the `requests` in this scope."""
        owners = requests["organisation_id"]
        return [
            index
            for index, model in enumerate(requests["model"])
            if model == self.model
            and owners[index] not in self.but
            and (not self.organisation_id or owners[index] == self.organisation_id)
        ]


@dataclass(slots=True)
class Costs:
    """Nano-USD of a period's requests at one target and price. `own` is of the requests that the target served.
    For the others, `cold` is their cost if nothing of their prompts is read from the target's cache, and `warm` if
    everything is.
    """

    own: float = 0.0
    cold: float = 0.0
    warm: float = 0.0


@dataclass(slots=True)
class Recorded:
    """The traffic that one target really served: nano-USD as billed, microseconds, and streams' first bytes as a
    histogram.
    """

    requests: int = 0
    nano_usd: int = 0
    duration_us: int = 0
    first_us: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Period:
    """The requests of a stretch of time, the measurements of targets in it by id, and costs by target and
    price.
    """

    requests: int = 0
    targets: dict[str, Slot] = field(default_factory=dict)
    costs: dict[tuple[str, TargetPrice], Costs] = field(default_factory=dict)


class Replay:
    """The records of one route, in `scope`, for several variants of the route; prices are those in force at
    `at`.
    """

    def __init__(self, scope: ReplayScope, variants: Sequence[Route], times_us: range, at: float) -> None:
        self._scope = scope
        self._times = times_us
        self._length = max(_MIN_PERIOD_US, -(-len(times_us) // MAX_PERIODS))
        self._tariffs = {
            (target.id, price): Tariff(price)
            for variant in variants
            for target in variant.targets
            if (price := price_in_force(target.prices, at)) is not None
        }
        self.periods: dict[int, Period] = {}
        self.recorded: dict[str, Recorded] = {}
        #: Requests that no target answered, and those that the gateway answered from its cache.
        self.failed = self.cached = 0
        #: The replayed requests that made images, whose price depends on a size that no record has.
        self.with_images = 0

    def add(self, batch: Columns) -> None:
        """Adds records; those outside the scope and the time range are left out."""
        by_period: dict[int, list[int]] = {}
        for index in self._scope.matching(batch):
            started = batch["started_at_us"][index]
            if started not in self._times:
                continue
            if batch["cache_hit"][index]:
                self.cached += 1
            elif batch["expired"][index] or not batch["target_id"][index] or batch["status"][index] >= 300:
                self.failed += 1
            else:
                by_period.setdefault((started - self._times.start) // self._length, []).append(index)
        for number, indices in by_period.items():
            self._add(self.periods.setdefault(number, Period()), chosen(batch, indices))

    @property
    def targets(self) -> dict[str, Slot]:
        """Returns the measurements of targets in all periods, by id."""
        found: dict[str, Slot] = {}
        for period in self.periods.values():
            for target_id, slot in period.targets.items():
                found.setdefault(target_id, Slot()).add(slot)
        return found

    def start_of(self, number: int) -> float:
        """Returns when a period begins, in Unix seconds."""
        return (self._times.start + number * self._length) / 1e6

    def _add(self, period: Period, requests: Columns) -> None:
        targets: Sequence[str] = requests["target_id"]
        period.requests += len(targets)
        add_slots(period.targets, requests)
        for target, cost, duration, first_byte, stream in zip(
            targets,
            requests["cost_nano_usd"],
            requests["duration_us"],
            requests["first_byte_us"],
            requests["stream"],
            strict=True,
        ):
            recorded = self.recorded.setdefault(target, Recorded())
            recorded.requests += 1
            recorded.nano_usd += cost
            recorded.duration_us += duration
            if stream and first_byte:
                histogram.add(recorded.first_us, [(histogram.bucket(first_byte), 1)])
        self._add_costs(period, targets, list(map(RequestUsage, *(requests[name] for name in _USED))))

    def _add_costs(self, period: Period, targets: Sequence[str], requests: Sequence[RequestUsage]) -> None:
        self.with_images += sum(1 for used in requests if used.images)
        cold = [used._replace(cached=0) for used in requests]
        warm = [
            used._replace(cached=used.prompt - used.cache_write - used.cache_write_1h - used.audio_prompt)
            for used in requests
        ]
        for (target_id, price), tariff in self._tariffs.items():
            costs = period.costs.setdefault((target_id, price), Costs())
            for index, served_by in enumerate(targets):
                if served_by == target_id:
                    costs.own += tariff.nano_usd(requests[index])
                else:
                    costs.cold += tariff.nano_usd(cold[index])
                    costs.warm += tariff.nano_usd(warm[index])


class AllRoutes:
    """Measures targets in the requests of all routes."""

    def __init__(self, target_ids: Collection[str]) -> None:
        self._ids = frozenset(target_ids)
        self.targets: dict[str, Slot] = {}

    def add(self, batch: Columns) -> None:
        """Adds what records say about these targets."""
        attempts = batch["failed_attempts"]
        indices = [
            index for index, target in enumerate(batch["target_id"]) if target in self._ids or attempts[index]
        ]
        if indices:
            add_slots(self.targets, chosen(batch, indices))


def add_slots(to: dict[str, Slot], requests: Columns) -> None:
    """Adds what `requests` say about targets to the slots of the targets' ids."""
    for asked, slot in summarise(requests).items():
        to.setdefault(asked.served.target_id, Slot()).add(slot)
