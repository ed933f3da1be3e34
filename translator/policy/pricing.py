"""The maximum cost of a request: the price of the most expensive target of its route at a moment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from trunkline_proto.policy.v1 import policy_pb2 as policy

from translator import money
from translator.bodies import requested_units
from translator.bodies.facts import BodyFacts

#: Prompt tokens above which the rates hold; micro-USD per million prompt tokens and per million completion tokens;
#: thousandths of a nano-USD per request.
_Rates = tuple[int, int, int, int]
#: Below any number of prompt tokens.
_ANY = -1
#: Characters a second of slow speech.
_CHARACTERS_PER_SECOND = 10
#: The highest price of each requested unit, by its kind: thousandths of a nano-USD.
_Units = dict[str, int]


class Ceiling:
    """The ceiling of one route's targets, with all prices that are announced."""

    __slots__ = ("_from", "_only", "_rates", "_targets", "_units", "_until")

    def __init__(self, targets: Iterable[policy.Target]) -> None:
        self._targets = tuple(tuple(target.prices) for target in targets if target.prices)
        self._rates: tuple[_Rates, ...] = ()
        #: The rates of every request, if there are no others, as in most routes.
        self._only: _Rates | None = None
        self._units: _Units = {}
        # The moments for which the rates hold: none yet, or all if the prices never change.
        self._from, self._until = (math.inf if self._targets else -math.inf), math.inf

    def cost(self, prompt: int, completion: int, at: float) -> int:
        """Returns nano-USD for these numbers of tokens at `at` (Unix seconds), rounded half up, at most
        `money.MAX`.
        """
        if not self._from <= at < self._until:
            self._update_rates(at)
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
        return nano if nano < money.MAX else money.MAX  # noqa: FURB136 - calling `min` takes five times as long

    def request_cost(self, facts: BodyFacts, default_output: int, at: float) -> int:
        """Returns nano-USD at `at` for everything that a request may use; `default_output` is as in
        `Estimate.output`.
        """
        cost = self.cost(facts.estimate.prompt, facts.estimate.output(default_output), at)
        return cost + self.cost_of_units(facts.units, at) if facts.units else cost

    def cost_of_units(self, word: str, at: float) -> int:
        """Returns nano-USD at `at` for the requested units in `word`, at most `money.MAX`."""
        if not self._from <= at < self._until:
            self._update_rates(at)
        units = requested_units.read(word)
        if units is None:
            return 0
        count = units.count
        if units.kind == requested_units.RERANK:
            count = count // requested_units.DOCUMENTS_PER_SEARCH + 1
        return min(money.nano_usd(count * self._units.get(units.kind, 0)), money.MAX)

    def _update_rates(self, at: float) -> None:
        """Computes the rates in force at `at`, without those that another one exceeds in everything, and how long
        they hold.
        """
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
                for kind, each in _unit_prices(price):
                    self._units[kind] = max(self._units.get(kind, 0), each)
        self._rates = tuple(
            each for each in rates if not any(other != each and _exceeds(other, each) for other in rates)
        )
        self._only = self._rates[0] if len(self._rates) == 1 and self._rates[0][0] == _ANY else None


def _all(price: policy.Price) -> Iterator[_Rates]:
    """Yields all rates that a request may be charged by: the service tier that a target uses is not known
    beforehand.
    """
    request = price.request * money.MICRO * 1_000
    yield _highest(_ANY, price, request)
    for tier in price.tiers:
        yield _highest(tier.above, tier.rates, request)
    for service_tier in price.service_tiers:
        yield _highest(_ANY, service_tier.rates, request)
        for tier in service_tier.tiers:
            yield _highest(tier.above, tier.rates, request)


def _unit_prices(price: policy.Price) -> Iterator[tuple[str, int]]:
    """Yields the most that one unit costs, for each kind of requested units."""
    each = 1_000 * money.MICRO
    yield requested_units.IMAGES, max((image.price for image in price.images), default=0) * each
    yield requested_units.SPEECH, price.character + price.audio_second_output // _CHARACTERS_PER_SECOND
    yield requested_units.TRANSCRIPTION, -(-price.audio_second_input // 1_000)
    yield requested_units.RERANK, price.search_unit * each


def _highest(above: int, of: policy.Price | policy.Rates, request: int) -> _Rates:
    """Returns the rates without rebates: it is not known beforehand what a provider has in its cache."""
    prompt = max(of.input, of.cached_input, of.cache_write, of.cache_write_1h, of.audio_input)
    return above, prompt, max(of.output, of.reasoning, of.audio_output), request


def _exceeds(one: _Rates, other: _Rates) -> bool:
    """Returns whether `one` holds whenever `other` does and costs at least as much."""
    return one[0] <= other[0] and all(a >= b for a, b in zip(one[1:], other[1:], strict=True))
