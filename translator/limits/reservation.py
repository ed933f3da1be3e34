"""What a request takes from its limits before it is let through, and why one is not let through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from translator.limits.limit import Limit


class Reservation(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """`at` is Unix seconds; `tokens` include the estimated `prompt`; `cost` is nano-USD; `user` and `tag` are
    percent-encoded. `limits` are the ids of the limits that it counts in.

    What a target's report can be held against: `stated` are the most completion tokens that the request allows in
    all its answers, 0 where it states no maximum; with `outside`, the prompt may have more than the request's own
    bytes: an earlier response, a file or page at an address, what a search finds. `units` is the word of
    `translator.units`. `saved` is what a kept answer had cost, in nano-USD; below 0 for an answer of a target.
    """

    id: str
    at: float
    organisation: str
    key: str
    route: str
    model: str
    tokens: int
    cost: int
    prompt: int
    stream: bool
    user: str
    tag: str
    limits: tuple[str, ...] = ()
    stated: int = 0
    outside: bool = False
    units: str = ""
    saved: int = -1

    @property
    def fields(self) -> tuple[Any, ...]:
        """As JSON values, for `of`."""
        return msgspec.structs.astuple(self)

    @classmethod
    def of(cls, fields: Sequence[Any]) -> Reservation:
        """Raises ValueError."""
        try:
            return msgspec.convert(fields, cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None


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


class Remaining(msgspec.Struct, frozen=True, gc=False):
    """How much of a limit is left: below 0 where requests used more than they had reserved. `resets` is when all
    of it is free again, in Unix seconds; not after now if it is.
    """

    limit: int
    remaining: int
    resets: float
