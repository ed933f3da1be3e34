"""What a request may cost at most: the price of the most expensive target that its route has at a moment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from trunkline_proto.policy.v1 import policy_pb2 as policy

from translator import money, requested_units
from translator.facts import BodyFacts

#: Prompt tokens above which it holds; micro-USD per million prompt tokens, per million completion tokens;
#: thousandths of a nano-USD per request.
_Rates = tuple[int, int, int, int]
#: Below any number of prompt tokens.
_ANY = -1
#: Of speech, when it is slow.
_CHARACTERS_PER_SECOND = 10
#: The highest price of each unit beside tokens, by what is asked for: thousandths of a nano-USD.
_Units = dict[str, int]


class Ceiling:
    """Of one route's targets and all that their prices are going to be."""

    __slots__ = ("_from", "_only", "_rates", "_targets", "_units", "_until")

    def __init__(self, targets: Iterable[policy.Target]) -> None:
        self._targets = tuple(tuple(target.prices) for target in targets if target.prices)
        self._rates: tuple[_Rates, ...] = ()
        #: Those that hold for every request, where there are no others, as in most routes.
        self._only: _Rates | None = None
        self._units: _Units = {}
        # No moment yet, or every moment where there is nothing to look at.
        self._from, self._until = (math.inf if self._targets else -math.inf), math.inf

    def cost(self, prompt: int, completion: int, at: float) -> int:
        """Nano-USD for so many tokens at `at` (Unix seconds), rounded half up, and at most `money.MOST`."""
        if not self._from <= at < self._until:
            self._look(at)
        if self._only is not None:
            _, by_prompt, by_completion, by_request = self._only
            most = prompt * by_prompt + completion * by_completion + by_request
        else:
            most = 0
            for above, by_prompt, by_completion, by_request in self._rates:
                cost = prompt * by_prompt + completion * by_completion + by_request
                if prompt > above and cost > most:
                    most = cost
        nano = money.nano_usd(most)
        return nano if nano < money.MOST else money.MOST  # noqa: FURB136 - a call of `min` takes five times as long

    def request_cost(self, facts: BodyFacts, default_output: int, at: float) -> int:
        """Nano-USD at `at` for all that a request may use, `default_output` as of `Estimate.output`."""
        cost = self.cost(facts.estimate.prompt, facts.estimate.output(default_output), at)
        return cost + self.cost_of_units(facts.units, at) if facts.units else cost

    def cost_of_units(self, word: str, at: float) -> int:
        """Nano-USD at `at` for what `word` asks for beside text (`translator.requested_units`), at most
        `money.MOST`.
        """
        if not self._from <= at < self._until:
            self._look(at)
        units = requested_units.read(word)
        if units is None:
            return 0
        count = units.count
        if units.kind == requested_units.RERANK:
            count = count // requested_units.DOCUMENTS_PER_SEARCH + 1
        return min(money.nano_usd(count * self._units.get(units.kind, 0)), money.MOST)

    def _look(self, at: float) -> None:
        """The rates in force at `at`, without those that another one exceeds in everything, and how long."""
        self._from, self._until = -math.inf, math.inf
        self._units = {}
        rates: set[_Rates] = set()
        for prices in self._targets:
            began = [price for price in prices if price.valid_from <= at]
            to_come = [price.valid_from for price in prices if price.valid_from > at]
            self._until = min([self._until, *to_come])
            if began:
                price = max(began, key=lambda each: (each.valid_from, each.version))
                self._from = max(self._from, price.valid_from)
                rates.update(_all(price))
                for kind, each in _beside(price):
                    self._units[kind] = max(self._units.get(kind, 0), each)
        self._rates = tuple(
            each for each in rates if not any(other != each and _exceeds(other, each) for other in rates)
        )
        self._only = self._rates[0] if len(self._rates) == 1 and self._rates[0][0] == _ANY else None


def _all(price: policy.Price) -> Iterator[_Rates]:
    """The rates that a request may be charged by: nobody knows beforehand which service tier a target uses."""
    request = price.request * money.MICRO * 1_000
    yield _highest(_ANY, price, request)
    for tier in price.tiers:
        yield _highest(tier.above, tier.rates, request)
    for service_tier in price.service_tiers:
        yield _highest(_ANY, service_tier.rates, request)
        for tier in service_tier.tiers:
            yield _highest(tier.above, tier.rates, request)


def _beside(price: policy.Price) -> Iterator[tuple[str, int]]:
    """For each kind of what is asked for beside text, the most that one of it costs."""
    each = 1_000 * money.MICRO
    yield requested_units.IMAGES, max((image.price for image in price.images), default=0) * each
    yield requested_units.SPEECH, price.character + price.audio_second_output // _CHARACTERS_PER_SECOND
    yield requested_units.TRANSCRIPTION, -(-price.audio_second_input // 1_000)
    yield requested_units.RERANK, price.search_unit * each


def _highest(above: int, of: policy.Price | policy.Rates, request: int) -> _Rates:
    """No rebate is reserved: what a provider has in its cache is its secret."""
    prompt = max(of.input, of.cached_input, of.cache_write, of.cache_write_1h, of.audio_input)
    return above, prompt, max(of.output, of.reasoning, of.audio_output), request


def _exceeds(one: _Rates, other: _Rates) -> bool:
    """Holds wherever the other does, and costs as much or more."""
    return one[0] <= other[0] and all(a >= b for a, b in zip(one[1:], other[1:], strict=True))
