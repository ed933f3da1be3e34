"""What a request costs: the price that its target had when it began, remembered also after it was replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from trunkline_proto.policy.v1 import policy_pb2 as policy

from translator import money
from translator.ledger.usage import Tokens

#: Versions remembered per target. More changes than these within the time that the control plane is away price a
#: request of that time by a later version, which its record names.
_REMEMBERED = 16


class Price(NamedTuple):
    """Micro-USD per million tokens, and per request; `valid_from` is Unix seconds."""

    valid_from: int
    version: int
    input: int
    output: int
    cached_input: int
    request: int

    def cost(self, tokens: Tokens) -> int:
        """Nano-USD, rounded half up once, and at most `money.MOST`."""
        thousandths = (
            (tokens.prompt - tokens.cached) * self.input
            + tokens.cached * self.cached_input
            + tokens.completion * self.output
        )
        return min(money.nano_usd(thousandths) + self.request * money.MICRO, money.MOST)


class PriceBook:
    """Prices by route and target.

    The policy says only which price is in force and which ones will be: a request that began before a change and
    ended, or is read from the log, after it needs the one before. `on_change` is called with every price that the
    policy brings, before a request is let through under it.
    """

    def __init__(self) -> None:
        self._prices: dict[str, dict[str, dict[int, Price]]] = {}
        self.on_change: Callable[[str, str, Price], None] = lambda route, target, price: None

    def at(self, route: str, target: str, start: int) -> Price | None:
        """The price in force at `start` (Unix seconds): of those that were, the most recent; None without one."""
        known = self._prices.get(route, {}).get(target)
        if not known:
            return None
        if len(known) == 1:  # nearly always
            (only,) = known.values()
            return only if only.valid_from <= start else None
        return max((each for each in known.values() if each.valid_from <= start), default=None)

    def put(self, route: policy.Route) -> None:
        """Takes in a route of the policy; a version that is known already may have changed in it."""
        for target in route.targets:
            known = self._prices.setdefault(route.id, {}).setdefault(target.id, {})
            for message in target.prices:
                cached = message.cached_input if message.HasField("cached_input") else message.input
                price = Price(
                    message.valid_from, message.version, message.input, message.output, cached, message.request
                )
                if known.get(price.version) != price:
                    known[price.version] = price
                    self.on_change(route.id, target.id, price)
            for version in sorted(known)[:-_REMEMBERED]:
                del known[version]

    def take(self, route: str, target: str, price: Price) -> None:
        """Takes in one price that was known before."""
        self._prices.setdefault(route, {}).setdefault(target, {})[price.version] = price

    def entries(self) -> Iterator[tuple[str, str, Price]]:
        """Every price with its route and target."""
        for route, targets in self._prices.items():
            for target, prices in targets.items():
                for price in prices.values():
                    yield route, target, price

    def dump(self) -> dict[str, Any]:
        """As JSON values, for `restore`."""
        return {
            route: {target: [list(each) for each in prices.values()] for target, prices in targets.items()}
            for route, targets in self._prices.items()
        }

    def restore(self, dumped: Mapping[str, Mapping[str, Iterable[Iterable[int]]]]) -> None:
        """Adds what was known; what is known already is newer."""
        for route, targets in dumped.items():
            for target, prices in targets.items():
                known = self._prices.setdefault(route, {}).setdefault(target, {})
                for price in (Price(*each) for each in prices):
                    known.setdefault(price.version, price)
