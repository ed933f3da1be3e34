"""Prices of targets as plain values, a part of the desired state (model.py).

Money is micro-USD. Every object here is frozen and compares by value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class TokenRates:
    """Micro-USD per million tokens. None: the rate of another kind applies, see trunkline.policy.v1.Price."""

    input: int = 0
    output: int = 0
    cached_input: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None


@dataclass(frozen=True, slots=True)
class ContextTier:
    """The rates of all tokens of requests with more than `above` prompt tokens."""

    above: int
    rates: TokenRates


@dataclass(frozen=True, slots=True)
class ServiceTier:
    """The rates of requests that a target served in a service tier, e.g. `flex`; `tiers` go by their prompts."""

    name: str
    rates: TokenRates
    tiers: tuple[ContextTier, ...] = ()


@dataclass(frozen=True, slots=True)
class ImagePrice:
    """Micro-USD for an image of a size and quality, e.g. `1024x1024/high`, or of any: `default`."""

    name: str
    price: int


@dataclass(frozen=True, slots=True)
class TargetPrice:
    """The price of a target: units and fallbacks as in trunkline.policy.v1.Price.

    It holds from `valid_from` (Unix seconds, 0 = since ever) until the next one of its target's history. `version`
    rises with every change of the history; 0 is a price that is not part of one yet.
    """

    input: int = 0
    output: int = 0
    cached_input: int | None = None
    request: int = 0
    valid_from: int = 0
    version: int = 0
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    audio_second_input: int = 0
    audio_second_output: int = 0
    character: int = 0
    search_unit: int = 0
    images: tuple[ImagePrice, ...] = ()
    tiers: tuple[ContextTier, ...] = ()
    service_tiers: tuple[ServiceTier, ...] = ()

    @property
    def rates(self) -> TargetPrice:
        """Returns the price without its validity and version."""
        return replace(self, valid_from=0, version=0)


def price_in_force(prices: Sequence[TargetPrice], at: float) -> TargetPrice | None:
    """Returns the price of a history, oldest first, at a time in Unix seconds; None: free."""
    return next((price for price in reversed(prices) if price.valid_from <= at), None)
