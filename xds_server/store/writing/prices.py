"""A target's price history: what is appended to it, and what never changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from xds_server.errors import PastPriceError
from xds_server.prices import TargetPrice, price_in_force

_FREE = TargetPrice().rates


def continued(
    history: tuple[TargetPrice, ...], wanted: TargetPrice, *, now: int, is_new: bool
) -> tuple[TargetPrice, ...]:
    """Returns `history` (oldest first) with `wanted` in it; the same history if it has that price already.

    A price without a beginning of its own holds from `now` on. The first price of a target that `is_new` to its
    route holds since ever, because nothing was charged before. A price with a future beginning replaces the price
    that was to begin then. What has begun is never changed, and other future prices stay.

    Raises:
        PastPriceError: it would have begun already, and the history says otherwise.
    """
    current = price_in_force(history, now)
    charged = current.rates if current is not None else _FREE
    if not history and wanted.rates == _FREE:
        return ()
    if not wanted.valid_from:
        if wanted.rates == charged:
            return history
        return _with(history, replace(wanted, valid_from=0 if is_new and not history else now), now)
    stated = next((each for each in reversed(history) if each.valid_from == wanted.valid_from), None)
    if stated is not None and stated.rates == wanted.rates:
        if wanted.valid_from > now or wanted.rates == charged:
            return history
        # The price did hold from then on, was replaced since, and is wanted again.
        return _with(history, replace(wanted, valid_from=now), now)
    if wanted.valid_from <= now and history:
        began = datetime.fromtimestamp(wanted.valid_from, UTC).isoformat()
        raise PastPriceError(
            f"{began} has passed, and later charges are not changed; accepted: a future time, or "
            "none for from now on"
        )
    return _with(history, wanted, now)


def _with(history: tuple[TargetPrice, ...], price: TargetPrice, now: int) -> tuple[TargetPrice, ...]:
    version = max((each.version for each in history), default=0) + 1
    kept = [each for each in history if each.valid_from <= now or each.valid_from != price.valid_from]
    kept.append(replace(price, version=version))
    return tuple(sorted(kept, key=lambda each: (each.valid_from, each.version)))
