"""The amounts that a request takes from its limits before it is admitted, and the reasons for refusing one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from translator.limits.limit import HolderLimit


class Reservation(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A reservation. `at` is Unix seconds, `tokens` include the estimated `prompt`, `cost` is nano-USD, and `user`
    and `tag` are percent-encoded. `limits` are the ids of the limits that it counts in.

    Some fields bound what a target may plausibly report. `stated` are the most completion tokens that the request
    allows in all its answers; 0 if it states no maximum. `outside` says that the prompt may contain more than the
    request's own bytes: an earlier response, a file or page at an address, or search results. `units` is a word of
    `translator.requested_units`. `saved` is the original cost of a cached answer in nano-USD; below 0 for an
    answer of a target.
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
        """The fields as JSON values, for `of`."""
        return msgspec.structs.astuple(self)

    @classmethod
    def of(cls, fields: Sequence[Any]) -> Reservation:
        """Returns the reservation with these fields. Raises ValueError."""
        try:
            return msgspec.convert(fields, cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is refused: `taken` of the `limit` is in use, and `needed` is more than what is left.

    `renews` is when there will be enough (Unix seconds). It is None if there never will be, because `needed` alone
    exceeds the limit's amount, and 0 for a concurrency limit, because nobody knows.
    """

    limit: HolderLimit
    needed: int
    taken: int
    renews: float | None


class Remaining(msgspec.Struct, frozen=True, gc=False):
    """The remainder of a limit; below 0 if requests used more than they had reserved. `resets` is when the whole
    amount is free again, in Unix seconds; it is not in the future if it already is.
    """

    limit: int
    remaining: int
    resets: float
