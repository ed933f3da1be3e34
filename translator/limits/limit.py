"""Limits, and the rules for which of them apply to a request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, NamedTuple

from translator.errors import LimitError
from translator.limits.windows import NO_WINDOW

HolderKind = Literal["organisation", "key", "route", "pool"]
#: The holder of places at machines; its id is the audience that may use them.
POOL: HolderKind = "pool"
EVERYBODY = "*"
#: The values that a limit counts separately; empty for one count of everything.
Each = Literal["", "user", "tag"]


class Metric(IntEnum):
    """The metric that a limit counts: requests, tokens, nano-USD or concurrent requests. The value is an index
    into the amounts.
    """

    REQUESTS = 0
    TOKENS = 1
    COST_USD = 2
    CONCURRENCY = 3

    @property
    def text(self) -> str:
        """The metric as in configuration files."""
        return _TEXTS[self]


_TEXTS = tuple(metric.name.lower() for metric in Metric)
BY_TEXT = {metric.text: metric for metric in Metric}


@dataclass(frozen=True, slots=True)
class HolderLimit:
    """Allows at most `amount` of `metric` in any `window` (text, see `windows`) to all requests of the holder, or
    with `model`, to its requests for that model.

    With `each`, the limit holds separately for every end user or tag. The limit that then applies to a request has
    its `value`, percent-encoded and empty if the request has none; in the configured limit, the value is None.
    `alerts` are shares of the amount in per mille, ascending. A `soft` limit refuses nothing.

    `id` identifies what is counted: a limit of another amount has the same id, one of another window does not.
    """

    metric: Metric
    window: str
    amount: int
    holder: HolderKind
    holder_id: str
    holder_name: str
    model: str = ""
    each: Each = ""
    alerts: tuple[int, ...] = ()
    soft: bool = False
    value: str | None = None
    id: str = field(init=False)

    def __post_init__(self) -> None:
        # Words without spaces, except for the model; ids are visible ASCII.
        holder = f"{self.holder}{_EACH}{self.each}" if self.each else self.holder
        text = f"{self.metric.text} {self.window} {holder} {self.holder_id} {self.model}"
        object.__setattr__(self, "id", text if self.value is None else f"{text} {self.value}")


#: In the third word of an id: the limit has values, and the last word is one.
_EACH = ":"


def limit_of(counter_id: str) -> str:
    """Returns the id of the limit to one of whose values a counter belongs; empty if its limit has no values."""
    return counter_id.rpartition(" ")[0] if _EACH in counter_id.split(" ", 3)[2] else ""


def values_together(counter_id: str) -> str:
    """Returns what counters that are bounded together have in common: the limit, and for a limit of a route, which
    all organisations share, the organisation as well. Empty if the counter's limit has no values.
    """
    limit_id, _, value = counter_id.rpartition(" ")
    whose = counter_id.split(" ", 3)[2]
    if _EACH not in whose:
        return ""
    return f"{limit_id} {value.partition('/')[0]}" if whose.startswith("route") else limit_id


class LimitIdParts(NamedTuple):
    """The parts of a limit's id, as in `HolderLimit`."""

    metric: Metric
    window: str
    holder: str
    holder_id: str
    model: str
    each: str


def described(limit_id: str) -> LimitIdParts:
    """Reads the id of a configured limit, without a value. Raises LimitError."""
    metric, window = parts_of(limit_id)
    _, _, whose, holder_id, model = limit_id.split(" ", 4)
    holder, _, each = whose.partition(_EACH)
    return LimitIdParts(metric, window, holder, holder_id, model, each)


def parts_of(limit_id: str) -> tuple[Metric, str]:
    """Returns metric and window of a limit's id. Raises LimitError."""
    parts = limit_id.split(" ", 4)
    metric = BY_TEXT.get(parts[0])
    if metric is None or len(parts) != 5:
        raise LimitError(f"{limit_id!r} is not the id of a limit")
    return metric, parts[1]


class Applicable(NamedTuple):
    """The limits that a request counts in, their ids, and those whose remaining amount clients see in headers.

    `concurrent` says that one of them limits concurrency. `each` says that some hold for every value or are the
    places of pools, so `Limiter.applied` has to derive those that apply to a request. `watched` says that one of
    them has alerts.
    """

    limits: tuple[HolderLimit, ...]
    ids: tuple[str, ...]
    shown: tuple[HolderLimit, ...]
    concurrent: bool
    each: bool = False
    watched: bool = False

    @classmethod
    def of(cls, limits: tuple[HolderLimit, ...]) -> Applicable:
        """Derives from the limits what every request needs to know about them, once for all requests."""
        shown = (limit for limit in limits if limit.metric <= Metric.TOKENS and not limit.soft)
        return cls(
            limits,
            tuple([limit.id for limit in limits]),
            tuple(shown),
            concurrent=any(limit.metric is Metric.CONCURRENCY for limit in limits),
            each=any((limit.each and limit.value is None) or limit.holder == POOL for limit in limits),
            watched=any(limit.alerts for limit in limits),
        )


def places(model: str, audience: str, slots: int) -> HolderLimit:
    """Returns the limit for the places at the machines of one pool that only `audience` may use; empty: everybody.
    A request takes one place of the pools that it may use.
    """
    return HolderLimit(Metric.CONCURRENCY, NO_WINDOW, slots, POOL, audience or EVERYBODY, model, model)


_PLACES = f"{Metric.CONCURRENCY.text} {NO_WINDOW} {POOL} "


def are_places(limit_id: str) -> bool:
    """Returns whether a limit is for machines' places, which is live state that no operator has set."""
    return limit_id.startswith(_PLACES)


class LimitSet:
    """The limits of one holder, by the models that they apply to."""

    __slots__ = ("_by_model", "_general")

    def __init__(self, limits: Iterable[HolderLimit] = ()) -> None:
        strictest: dict[str, HolderLimit] = {}
        for limit in limits:
            known = strictest.get(limit.id)
            if known is None or limit.amount < known.amount:
                strictest[limit.id] = limit
        self._general = tuple(limit for limit in strictest.values() if not limit.model)
        self._by_model: dict[str, tuple[HolderLimit, ...]] = {}
        for limit in strictest.values():
            if limit.model:
                self._by_model[limit.model] = (*self._by_model.get(limit.model, self._general), limit)

    def of(self, model: str) -> tuple[HolderLimit, ...]:
        """Returns the limits that a request for `model` counts in."""
        return self._by_model.get(model, self._general) if self._by_model else self._general


NO_LIMITS = LimitSet()
