"""What a limit is, and which ones apply to a request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, NamedTuple

from translator.errors import LimitError

Holder = Literal["organisation", "key", "route"]


class Metric(IntEnum):
    """What is counted: requests, tokens, nano-USD, requests in flight. The value is a place in `Amounts`."""

    REQUESTS = 0
    TOKENS = 1
    COST_USD = 2
    CONCURRENCY = 3

    @property
    def text(self) -> str:
        """As in configuration files."""
        return _TEXTS[self]


_TEXTS = tuple(metric.name.lower() for metric in Metric)
BY_TEXT = {metric.text: metric for metric in Metric}


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` of `metric` in any `window` (text, see `windows`) by everything that the holder does; with
    `model`, by what it does with that model.

    `id` identifies what is counted: a limit of another amount has the same id, one of another window has not.
    """

    metric: Metric
    window: str
    amount: int
    holder: Holder
    holder_id: str
    holder_name: str
    model: str = ""
    id: str = field(init=False)

    def __post_init__(self) -> None:
        # Words without spaces, but for the last one: ids are visible ASCII.
        text = f"{self.metric.text} {self.window} {self.holder} {self.holder_id} {self.model}"
        object.__setattr__(self, "id", text)


def parts_of(limit_id: str) -> tuple[Metric, str]:
    """Metric and window of a limit's id. Raises LimitError."""
    parts = limit_id.split(" ", 4)
    metric = BY_TEXT.get(parts[0])
    if metric is None or len(parts) != 5:
        raise LimitError(f"{limit_id!r} is not the id of a limit")
    return metric, parts[1]


class Applicable(NamedTuple):
    """The limits that a request counts in, their ids, and those of which clients are told how much is left.

    `concurrent`: one of them limits concurrency.
    """

    limits: tuple[Limit, ...]
    ids: tuple[str, ...]
    told: tuple[Limit, ...]
    concurrent: bool

    @classmethod
    def of(cls, limits: tuple[Limit, ...]) -> Applicable:
        told = (limit for limit in limits if limit.metric in {Metric.REQUESTS, Metric.TOKENS})
        concurrent = any(limit.metric is Metric.CONCURRENCY for limit in limits)
        return cls(limits, tuple(limit.id for limit in limits), tuple(told), concurrent)


class LimitSet:
    """The limits of one holder, by the models that they apply to."""

    __slots__ = ("_by_model", "_general")

    def __init__(self, limits: Iterable[Limit] = ()) -> None:
        strictest: dict[str, Limit] = {}
        for limit in limits:
            known = strictest.get(limit.id)
            if known is None or limit.amount < known.amount:
                strictest[limit.id] = limit
        self._general = tuple(limit for limit in strictest.values() if not limit.model)
        self._by_model: dict[str, tuple[Limit, ...]] = {}
        for limit in strictest.values():
            if limit.model:
                self._by_model[limit.model] = (*self._by_model.get(limit.model, self._general), limit)

    def of(self, model: str) -> tuple[Limit, ...]:
        """Those that a request for `model` counts in."""
        return self._by_model.get(model, self._general) if self._by_model else self._general


NO_LIMITS = LimitSet()
