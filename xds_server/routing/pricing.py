"""Computes what a request costs at a price from its usage, as translators bill it (trunkline.policy.v1.Price)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xds_server.prices import ContextTier, TargetPrice, TokenRates

#: Micro-USD per million tokens times tokens gives this many units per nano-USD.
_PER_NANO = 1_000
#: Nano-USD per micro-USD.
_MICRO = 1_000
#: Milliseconds per second.
_MILLI = 1_000
#: The most that a translator bills for one request, in nano-USD: 10,000 USD.
_MAX = 10_000 * 10**9


class RequestUsage(NamedTuple):
    """The usage of a request, in the units of a usage record; means of several requests may be fractions.

    `cached`, `cache_write`, `cache_write_1h` and `audio_prompt` are parts of the prompt, `reasoning` and
    `audio_completion` of the completion; they do not overlap.
    """

    prompt: float = 0
    completion: float = 0
    cached: float = 0
    cache_write: float = 0
    cache_write_1h: float = 0
    reasoning: float = 0
    audio_prompt: float = 0
    audio_completion: float = 0
    images: float = 0
    audio_in_ms: float = 0
    audio_out_ms: float = 0
    characters: float = 0
    search_units: float = 0
    service_tier: str = ""


class Tariff:
    """A price, prepared for many requests."""

    def __init__(self, price: TargetPrice) -> None:
        self._price = price
        self._rates = _by_prompt(price, price.tiers)
        self._of_service_tiers = {each.name: _by_prompt(each.rates, each.tiers) for each in price.service_tiers}
        self._image = next((each.price for each in price.images if each.name == "default"), 0)

    def nano_usd(self, used: RequestUsage) -> float:
        """Returns the cost of one request, unrounded, and at most 10,000 USD as translators bill.

        Images cost the price's default because a record does not have their size.
        """
        price, rates = self._price, self._in_force(used)
        units, left = 0.0, used.prompt
        for count, rate in (
            (used.cached, rates.cached_input),
            (used.cache_write_1h, rates.cache_write_1h),
            (used.cache_write, rates.cache_write),
            (used.audio_prompt, rates.audio_input),
        ):
            if count:
                of_kind = min(count, left)
                left -= of_kind
                units += of_kind * rate
        audio = min(used.audio_completion, used.completion)
        reasoning = min(used.reasoning, used.completion - audio)
        units += left * rates.input + audio * rates.audio_output + reasoning * rates.reasoning
        units += (used.completion - audio - reasoning) * rates.output + used.characters * price.character
        seconds = used.audio_in_ms * price.audio_second_input + used.audio_out_ms * price.audio_second_output
        each = used.search_units * price.search_unit + used.images * self._image + price.request
        return min((units + seconds / _MILLI) / _PER_NANO + each * _MICRO, _MAX)

    def _in_force(self, used: RequestUsage) -> _ResolvedRates:
        """Returns the rates of a request. A service tier without rates of its own is charged like any other
        request.
        """
        ladder = self._of_service_tiers.get(used.service_tier, self._rates)
        return next(rates for above, rates in ladder if used.prompt > above)


class _ResolvedRates(NamedTuple):
    """Rates with their fallbacks resolved."""

    input: int
    output: int
    cached_input: int
    cache_write: int
    cache_write_1h: int
    reasoning: int
    audio_input: int
    audio_output: int


def _by_prompt(
    rates: TargetPrice | TokenRates, tiers: Sequence[ContextTier]
) -> list[tuple[float, _ResolvedRates]]:
    """Returns rates with the prompt tokens that a request must exceed, highest first."""
    ladder = [(-1.0, _resolved(rates)), *((float(each.above), _resolved(each.rates)) for each in tiers)]
    return sorted(ladder, key=lambda each: -each[0])


def _resolved(rates: TargetPrice | TokenRates) -> _ResolvedRates:
    def either(own: int | None, otherwise: int) -> int:
        return otherwise if own is None else own

    cache_write = either(rates.cache_write, rates.input)
    return _ResolvedRates(
        rates.input,
        rates.output,
        either(rates.cached_input, rates.input),
        cache_write,
        either(rates.cache_write_1h, cache_write),
        either(rates.reasoning, rates.output),
        either(rates.audio_input, rates.input),
        either(rates.audio_output, rates.output),
    )
