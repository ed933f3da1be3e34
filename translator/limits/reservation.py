"""What a request holds from being let through until it is settled, and why one is not let through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from translator.limits.counters import Bucket, Counter
from translator.limits.limit import Limit


class Subject(NamedTuple):
    """Whose request it is, for the record of one that no line of the log ever settles.

    `prompt` is the estimated prompt tokens; `user` and `tag` are percent-encoded.
    """

    organisation: str
    key: str
    route: str
    model: str
    stream: bool
    prompt: int
    user: str
    tag: str


@dataclass(slots=True, eq=False)
class Reservation:
    """`tokens` and `cost` (micro-USD), taken from the limits with the ids `limits` at `at` (Unix seconds)."""

    request_id: str
    at: float
    tokens: int
    cost: int
    subject: Subject
    limits: tuple[str, ...]
    #: Where each of `limits` counts it.
    places: tuple[tuple[Counter, Bucket], ...]

    def entry(self) -> list[Any]:
        """As JSON values, for `Limiter.replay_reserve`."""
        return [self.request_id, self.at, self.tokens, self.cost, self.limits, self.subject]


@dataclass(frozen=True, slots=True)
class Refused:
    """`limit` has `taken` of its amount already, and `needed` would have been more than is left.

    `renews` is when there will be enough (Unix seconds); None where there never will be, because `needed` alone is
    more than the limit's amount. 0 for a concurrency limit: nobody knows.
    """

    limit: Limit
    needed: int
    taken: int
    renews: float | None


class Standing(NamedTuple):
    """How much of a limit is left. `resets` is when all of it is free again, Unix seconds."""

    limit: int
    remaining: int
    resets: float


def reservation_fields(entry: Sequence[Any]) -> tuple[str, float, int, int, tuple[str, ...], Subject]:
    """What `Reservation.entry` gave. Raises ValueError or TypeError for anything else."""
    request_id, at, tokens, cost, limits, subject = entry
    return str(request_id), float(at), int(tokens), int(cost), tuple(map(str, limits)), Subject(*subject)
