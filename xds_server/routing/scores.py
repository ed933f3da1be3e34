"""Computes what a route's typical request would cost at a target, in seconds and in money."""

from __future__ import annotations

from dataclasses import dataclass

from xds_server.prices import TargetPrice
from xds_server.routing.measured import Measured, RequestMix
from xds_server.routing.pricing import RequestUsage, Tariff
from xds_server.routing.window import Median

#: A failed attempt costs at least this many seconds before the next one begins.
_MIN_LOST_SECONDS = 0.05
#: A target that fails more often than this is scored as if it failed this often: it would serve nothing anyway.
MAX_FAILURES = 0.95
_MICRO, _NANO = 1e-6, 1e-9


@dataclass(frozen=True, slots=True)
class ExpectedTime:
    """The expected time of the typical request. `error` is the relative standard error of `seconds`."""

    seconds: float
    error: float


def expected_time(measured: Measured, mix: RequestMix) -> ExpectedTime | None:
    """Returns how long the typical answer takes, failed attempts included; None without measurements."""
    parts: list[tuple[float, Median]] = []
    streamed = _streamed(measured, mix)
    plain = [(1.0, measured.whole_us)] if measured.whole_us.samples else []
    if not streamed and not plain:
        return None
    # A target that was measured with only streams or only plain answers is expected to take as long for the other
    # kind.
    parts += [(share * mix.stream_share, median) for share, median in streamed or plain]
    parts += [(share * (1 - mix.stream_share), median) for share, median in plain or streamed]
    seconds = sum(share * median.value for share, median in parts) * _MICRO
    error = sum(share * median.value * median.error for share, median in parts) * _MICRO / seconds
    failures = min(measured.error_rate + measured.limit_rate, MAX_FAILURES)
    return ExpectedTime(seconds + attempt_seconds(measured) * failures / (1 - failures), error)


def attempt_seconds(measured: Measured) -> float:
    """Returns the seconds that a failed attempt costs before the next one begins."""
    return max(measured.first_us.value * _MICRO, _MIN_LOST_SECONDS)


def _streamed(measured: Measured, mix: RequestMix) -> list[tuple[float, Median]]:
    if not measured.first_us.samples:
        return []
    tokens = [(mix.completion_tokens, measured.token_us)] if measured.token_us.samples else []
    return [(1.0, measured.first_us), *tokens]


@dataclass(frozen=True, slots=True)
class EffectivePrice:
    """The price of the typical request in USD. `error` is the relative standard error of `usd`; `least` is the
    cost of the request if its whole prompt were read from the target's cache.
    """

    usd: float = 0.0
    error: float = 0.0
    least: float = 0.0


def effective_price(price: TargetPrice | None, measured: Measured, mix: RequestMix) -> EffectivePrice:
    """Returns the price of the typical request; nothing for a target without a price.

    The target's own share of cached prompt tokens counts, or the route's if the target has not served yet.
    """
    if price is None:
        return EffectivePrice()
    tariff = Tariff(price)

    def usd(cached_share: float) -> float:
        cached = cached_share * mix.prompt_tokens
        return tariff.nano_usd(RequestUsage(mix.prompt_tokens, mix.completion_tokens, cached=cached)) * _NANO

    share = mix.cached_share if measured.cached_share is None else measured.cached_share
    cold, least, found = usd(0.0), usd(1.0), usd(share)
    return EffectivePrice(found, abs(cold - least) * measured.cached_error / found if found else 0.0, least)
