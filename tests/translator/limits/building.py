"""Limits and reservations for tests."""

from __future__ import annotations

from collections.abc import Sequence

from translator.limits import HolderLimit, Limiter, Metric, Refused, Reservation

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z, the beginning of a window of any length up to an hour
REQUESTS, TOKENS, COST, CONCURRENCY = Metric.REQUESTS, Metric.TOKENS, Metric.COST_USD, Metric.CONCURRENCY


def limit(metric: Metric, window: str, amount: int, holder_id: str = "key_a", model: str = "") -> HolderLimit:
    return HolderLimit(metric, window, amount, "key", holder_id, holder_id.removeprefix("key_"), model)


def limiter(limits: Sequence[HolderLimit] = ()) -> Limiter:
    """Returns a limiter. `limits` apply to every request whose reservation is unknown."""
    return Limiter(lambda *_: limits)


def reservation(
    request_id: str, limits: Sequence[HolderLimit], *, tokens: int = 0, cost: int = 0, at: float = NOW
) -> Reservation:
    ids = tuple(each.id for each in limits)
    return Reservation(request_id, at, "org", "key_a", "rt", "m", tokens, cost, 1, False, "", "", ids)


def reserve(
    engine: Limiter,
    request_id: str,
    limits: Sequence[HolderLimit],
    *,
    tokens: int = 0,
    cost: int = 0,
    at: float = NOW,
) -> Refused | None:
    return engine.reserve(reservation(request_id, limits, tokens=tokens, cost=cost, at=at), limits)


def taken(engine: Limiter, of: HolderLimit, at: float) -> int:
    """Returns the amount that counts in the window of a limit on requests or tokens."""
    found = engine.remaining([of], at)[of.metric]
    assert found is not None
    return of.amount - found.remaining
