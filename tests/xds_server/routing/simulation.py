"""A route under simulated traffic, second by second: which target serves, and how the strategy reacts.

Time is simulated, so that ten minutes take a second, and everything follows from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import log

from xds_server.model import ProviderTarget, Route, Strategy
from xds_server.prices import TargetPrice
from xds_server.routing.measured import Measurements
from xds_server.routing.ranking import Ranking
from xds_server.routing.slots import RouteCredential, RouteTarget, Slot, slot_of, summarise
from xds_server.routing.strategies import ranked, score_targets

ROUTE = "rt_m"
#: Seconds from a finished request to its record at the control plane.
SHIPPING_SECONDS = 0.3


@dataclass(frozen=True)
class Behaviour:
    """A target's behaviour at one moment: log-normal times to the first byte and per token, by their medians in
    seconds.
    """

    first: float
    token: float = 0.01
    #: Standard deviation of the logarithm.
    noise: float = 0.4
    failures: float = 0.0
    #: The share of requests whose prompt is read from the target's cache.
    cached_share: float = 0.0


Script = Callable[[float], Behaviour]


@dataclass
class Simulated:
    """The best target and the shares in each second."""

    best: list[str | None] = field(default_factory=list)
    shares: list[dict[str, float]] = field(default_factory=list)

    def changes(self, begin: int = 0, end: int | None = None) -> int:
        """Returns how often the best target changed."""
        seen = [each for each in self.best[begin:end] if each is not None]
        return sum(one != other for one, other in pairwise(seen))

    def first_second_of(self, target: str, after: int) -> int:
        """Returns the seconds from `after` until the target is the best."""
        return self.best.index(target, after) - after


def route(
    strategy: Strategy,
    targets: Sequence[str],
    prices: Sequence[TargetPrice | tuple[TargetPrice, ...]] = (),
    balance: int = 50,
) -> Route:
    """Returns a route of providers with one model each and equal weights. A price may be a history."""
    histories = [each if isinstance(each, tuple) else (each,) for each in prices] or [()] * len(targets)
    return Route(
        ROUTE,
        "m",
        tuple(ProviderTarget(name, "m", prices=history) for name, history in zip(targets, histories, strict=True)),
        strategy=strategy,
        balance=balance,
    )


def simulate(of: Route, scripts: Sequence[Script], seconds: int, rate: float, seed: int = 1) -> Simulated:
    """Runs `rate` requests a second against the scripts, in the order of the route's targets."""
    chance = random.Random(seed)
    measurements, ranking, result = Measurements(), None, Simulated()
    ids = [target.id for target in of.targets]
    script_of = dict(zip(ids, scripts, strict=True))
    finished: list[tuple[float, dict[RouteCredential, Slot]]] = []
    for second in range(seconds):
        shares = _shares(ranking, ids)
        for number in range(int((second + 1) * rate) - int(second * rate)):
            begun = second + number / rate
            (target,) = chance.choices(ids, [shares[each] for each in ids])
            ended, slots = _request(chance, target, ids, script_of, begun)
            finished.append((ended + SHIPPING_SECONDS, slots))
        arrived = [each for each in finished if each[0] <= second + 1]
        finished = [each for each in finished if each[0] > second + 1]
        for at, slots in arrived:
            measurements.add(slot_of(at), slots)
        now = slot_of(second + 1)
        measurements.forget(now)
        measured = {each: measurements.of(RouteTarget(ROUTE, each), now) for each in ids}
        scored = score_targets(of, of.targets, measured, measurements.mix(ROUTE, ids, now), second + 1)
        ranking = ranked(scored, of, ranking, second + 1)
        result.best.append(ranking.shares[0].target_id if ranking is not None else None)
        result.shares.append(shares)
    return result


def _shares(ranking: Ranking | None, ids: Sequence[str]) -> dict[str, float]:
    if ranking is None:
        return dict.fromkeys(ids, 1 / len(ids))
    whole = sum(each.weight for each in ranking.shares)
    return {each.target_id: each.weight / whole for each in ranking.shares}


def _request(
    chance: random.Random, target: str, ids: Sequence[str], script_of: dict[str, Script], begun: float
) -> tuple[float, dict[RouteCredential, Slot]]:
    """Simulates one request, which moves to the next target on a failure. Returns its end and the slots of its
    record.
    """
    failed: list[tuple[str, int, str, int, int]] = []
    for each in (target, *(other for other in ids if other != target)):
        behaviour = script_of[each](begun)
        if chance.random() < behaviour.failures:
            failed.append((each, 500, "", 0, 0))
            continue
        tokens = chance.randint(20, 400)
        first = chance.lognormvariate(log(behaviour.first), behaviour.noise)
        whole = first + tokens * chance.lognormvariate(log(behaviour.token), behaviour.noise / 2)
        is_cached = bool(behaviour.cached_share) and chance.random() < behaviour.cached_share
        batch = _batch(begun, each, first, whole, tokens, failed, is_cached=is_cached)
        return begun + whole, summarise(batch)
    return begun, summarise(_batch(begun, "", 0.0, 0.0, 0, failed, is_cached=False))


def _batch(
    begun: float,
    target: str,
    first: float,
    whole: float,
    tokens: int,
    failed: list[tuple[str, int, str, int, int]],
    *,
    is_cached: bool,
) -> dict[str, Sequence[object]]:
    return {
        "route_id": [ROUTE],
        "target_id": [target],
        "started_at_us": [int(begun * 1e6)],
        "status": [200 if target else 502],
        "response_flags": [""],
        "stream": [True],
        "cache_hit": [False],
        "expired": [False],
        "estimated": [False],
        "first_byte_us": [int(first * 1e6)],
        "duration_us": [int(whole * 1e6)],
        "prompt_tokens": [1_000],
        "cached_tokens": [1_000 if is_cached else 0],
        "completion_tokens": [tokens],
        "failed_attempts": [failed],
        "credential_index": [0],
        "cancelled": [False],
    }
