"""Computes the cost of a request by the price that its target had when the request began. Replaced prices are
remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from trunkline_proto.policy.v1 import policy_pb2 as policy

from translator import money
from translator.ledger.usage import Tokens

#: Most price versions per target. If the price changes more often while the control plane is away, a request of
#: that time is priced by a later version, which its record names.
_REMEMBERED = 16


class Rates(NamedTuple):
    """Micro-USD per million tokens of each kind, for requests with more than `above` prompt tokens."""

    above: int
    input: int
    output: int
    cached_input: int
    cache_write: int
    cache_write_1h: int
    reasoning: int
    audio_input: int
    audio_output: int

    @classmethod
    def of(cls, above: int, message: policy.Price | policy.Rates) -> Rates:
        """Returns the rates of a message, with the fallbacks of trunkline.policy.v1.Price."""
        has = message.HasField
        cache_write = message.cache_write if has("cache_write") else message.input
        return cls(
            above,
            message.input,
            message.output,
            message.cached_input if has("cached_input") else message.input,
            cache_write,
            message.cache_write_1h if has("cache_write_1h") else cache_write,
            message.reasoning if has("reasoning") else message.output,
            message.audio_input if has("audio_input") else message.input,
            message.audio_output if has("audio_output") else message.output,
        )

    @property
    def is_plain(self) -> bool:
        """True if only cached tokens have a rate of their own."""
        return {self.cache_write, self.cache_write_1h, self.audio_input} == {self.input} and {
            self.reasoning,
            self.audio_output,
        } == {self.output}

    def cost(self, tokens: Tokens) -> int:
        """Returns thousandths of a nano-USD. Each token is charged at the rate of its kind. A token that a target
        counts in several kinds is charged in one, so no token reduces the cost of another.
        """
        thousandths, left = 0, tokens.prompt
        for count, rate in (
            (tokens.cached, self.cached_input),
            (tokens.cache_write_1h, self.cache_write_1h),
            (tokens.cache_write, self.cache_write),
            (tokens.audio_input, self.audio_input),
        ):
            kind = min(count, left)
            left -= kind
            thousandths += kind * rate
        audio = min(tokens.audio_output, tokens.completion)
        reasoning = min(tokens.reasoning, tokens.completion - audio)
        return (
            thousandths
            + left * self.input
            + audio * self.audio_output
            + reasoning * self.reasoning
            + (tokens.completion - audio - reasoning) * self.output
        )


class VersionedPrice(
    msgspec.Struct, frozen=True, order=True, gc=False, array_like=True, forbid_unknown_fields=True
):
    """A price in the units of trunkline.policy.v1.Price; `valid_from` is Unix seconds.

    `rates` are empty if tokens cost only `input`, `output` and `cached_input`; otherwise they are sorted by
    `above`, and so are those of each of the `service_tiers`.
    """

    valid_from: int
    version: int
    input: int
    output: int
    cached_input: int
    request: int
    rates: tuple[Rates, ...] = ()
    service_tiers: tuple[tuple[str, tuple[Rates, ...]], ...] = ()
    audio_second_input: int = 0
    audio_second_output: int = 0
    character: int = 0
    search_unit: int = 0
    images: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, message: policy.Price) -> VersionedPrice:
        """Converts a price with all its tiers."""
        base = Rates.of(0, message)
        tiers = _tiers(message.tiers)
        return cls(
            message.valid_from,
            message.version,
            base.input,
            base.output,
            base.cached_input,
            message.request,
            () if base.is_plain and not tiers else (base, *tiers),
            tuple((each.name, (Rates.of(0, each.rates), *_tiers(each.tiers))) for each in message.service_tiers),
            message.audio_second_input,
            message.audio_second_output,
            message.character,
            message.search_unit,
            tuple((each.name, each.price) for each in message.images),
        )

    @property
    def fields(self) -> tuple[Any, ...]:
        """The price as JSON values, for `restored`; named tuples are converted because orjson does not support
        them.
        """
        return tuple(msgspec.to_builtins(self))

    @classmethod
    def restored(cls, fields: Iterable[Any]) -> VersionedPrice:
        """Returns the price with these fields; earlier versions wrote only the first ones."""
        return msgspec.convert(list(fields), cls)

    def rates_of(self, prompt: int, service_tier: str) -> Rates | None:
        """Returns the rates of a request with `prompt` tokens; None if `rates` are empty.

        A service tier without rates of its own is charged like any other request.
        """
        rates = self.rates
        for name, of_tier in self.service_tiers:
            if name == service_tier:
                rates = of_tier
        return next((each for each in reversed(rates) if prompt > each.above or each.above == 0), None)

    def image(self, size: str, quality: str) -> int:
        """Returns micro-USD for one image: by size and quality, by size, by quality, or the price of any image."""
        prices = {name.lower(): price for name, price in self.images}
        for name in (f"{size}/{quality}", size, quality):
            if name in prices:
                return prices[name]
        return prices.get("default", 0)

    def _thousandths(self, tokens: Tokens) -> int:
        """Returns the cost of the tokens in thousandths of a nano-USD."""
        if (self.rates or self.service_tiers) and (rates := self.rates_of(tokens.prompt, tokens.tier)) is not None:
            return rates.cost(tokens)
        cached = tokens.cached
        text = tokens.prompt * self.input + tokens.completion * self.output
        return text + cached * (self.cached_input - self.input) if cached else text

    def cost_of_text(self, tokens: Tokens) -> int:
        """Returns nano-USD like `cost`, for a request without requested units."""
        cost = money.nano_usd(self._thousandths(tokens)) + self.request * money.MICRO
        return cost if cost < money.MAX else money.MAX  # noqa: FURB136 - calling `min` takes five times as long

    def cost(self, tokens: Tokens) -> int:
        """Returns nano-USD, rounded half up once, at most `money.MAX`."""
        if not tokens.has_units:
            return self.cost_of_text(tokens)
        thousandths = self._thousandths(tokens) + tokens.characters * self.character
        # Milliseconds at prices per second.
        millionths = tokens.audio_in_ms * self.audio_second_input + tokens.audio_out_ms * self.audio_second_output
        each = tokens.search_units * self.search_unit + self.request
        if tokens.images:
            each += tokens.images * self.image(tokens.image_size, tokens.image_quality)
        cost = (thousandths * 1_000 + millionths + 500_000) // 1_000_000 + each * money.MICRO
        return min(cost, money.MAX)


class PriceBook:
    """Prices by route and target, including former ones.

    The policy has only the current and the announced prices. A request that began before a change and is settled
    after it needs the price before. `on_change` is called with every price of the policy before a request is let
    through under it.
    """

    def __init__(self) -> None:
        self._prices: dict[str, dict[str, dict[int, VersionedPrice]]] = {}
        self.on_change: Callable[[str, str, VersionedPrice], None] = lambda route, target, price: None

    def at(self, route: str, target: str, start: int) -> VersionedPrice | None:
        """Returns the most recent price in force at `start` (Unix seconds); None if there is none."""
        try:
            known = self._prices[route][target]
        except KeyError:
            return None
        if len(known) == 1:  # nearly always
            (only,) = known.values()
            return only if only.valid_from <= start else None
        return max((each for each in known.values() if each.valid_from <= start), default=None)

    def put(self, route: policy.Route) -> None:
        """Takes the prices of a route of the policy; a known version may have changed in it."""
        for target in route.targets:
            known = self._prices.setdefault(route.id, {}).setdefault(target.id, {})
            for message in target.prices:
                price = VersionedPrice.of(message)
                if known.get(price.version) != price:
                    known[price.version] = price
                    self.on_change(route.id, target.id, price)
            for version in sorted(known)[:-_REMEMBERED]:
                del known[version]

    def take(self, route: str, target: str, price: VersionedPrice) -> None:
        """Takes one price that was known before."""
        self._prices.setdefault(route, {}).setdefault(target, {})[price.version] = price

    def entries(self) -> Iterator[tuple[str, str, VersionedPrice]]:
        """Yields every price with its route and target."""
        for route, targets in self._prices.items():
            for target, prices in targets.items():
                for price in prices.values():
                    yield route, target, price

    def dump(self) -> dict[str, Any]:
        """Returns the prices as JSON values, for `restore`."""
        return {
            route: {target: [each.fields for each in prices.values()] for target, prices in targets.items()}
            for route, targets in self._prices.items()
        }

    def restore(self, dumped: Mapping[str, Mapping[str, Iterable[Iterable[Any]]]]) -> None:
        """Adds dumped prices; those that are known already are newer and stay."""
        for route, targets in dumped.items():
            for target, prices in targets.items():
                known = self._prices.setdefault(route, {}).setdefault(target, {})
                for price in map(VersionedPrice.restored, prices):
                    known.setdefault(price.version, price)


def _tiers(messages: Iterable[policy.ContextTier]) -> tuple[Rates, ...]:
    return tuple(sorted(Rates.of(each.above, each.rates) for each in messages))
