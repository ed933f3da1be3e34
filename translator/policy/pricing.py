"""What a request may cost at most: the price of the most expensive target that its route has at a moment."""

from __future__ import annotations

import math
from collections.abc import Iterable

from trunkline_proto.policy.v1 import policy_pb2 as policy

from translator import money

#: Micro-USD per million prompt tokens, per million completion tokens, and per request.
_Rates = tuple[int, int, int]


class Ceiling:
    """Of one route's targets and all that their prices are going to be."""

    __slots__ = ("_from", "_rates", "_targets", "_until")

    def __init__(self, targets: Iterable[policy.Target]) -> None:
        self._targets = tuple(tuple(target.prices) for target in targets if target.prices)
        self._rates: tuple[_Rates, ...] = ()
        # No moment yet, or every moment where there is nothing to look at.
        self._from, self._until = (math.inf if self._targets else -math.inf), math.inf

    def cost(self, prompt: int, completion: int, at: float) -> int:
        """Nano-USD for so many tokens at `at` (Unix seconds), rounded half up, and at most `money.MOST`."""
        if not self._from <= at < self._until:
            self._look(at)
        most = 0
        for by_prompt, by_completion, by_request in self._rates:
            thousandths = prompt * by_prompt + completion * by_completion
            most = max(most, money.nano_usd(thousandths) + by_request * money.MICRO)
        return min(most, money.MOST)

    def _look(self, at: float) -> None:
        """The rates in force at `at`, without those that another one exceeds in everything, and how long."""
        self._from, self._until = -math.inf, math.inf
        rates = set()
        for prices in self._targets:
            began = [price for price in prices if price.valid_from <= at]
            to_come = [price.valid_from for price in prices if price.valid_from > at]
            self._until = min([self._until, *to_come])
            if began:
                price = max(began, key=lambda each: (each.valid_from, each.version))
                self._from = max(self._from, price.valid_from)
                # No rebate is reserved: what a provider has in its cache is its secret.
                prompt = max(price.input, price.cached_input) if price.HasField("cached_input") else price.input
                rates.add((prompt, price.output, price.request))
        self._rates = tuple(
            each
            for each in rates
            if not any(other != each and all(a >= b for a, b in zip(other, each, strict=True)) for other in rates)
        )
