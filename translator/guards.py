"""Keeps a request away from targets whose context is too short or whose price exceeds the maximum."""

from __future__ import annotations

import re
from decimal import Decimal

from translator import money
from translator.bodies.estimate import Estimate
from translator.bodies.facts import BodyFacts
from translator.errors import Refusal
from translator.policy.objects import PolicyKey, PolicyRoute, PolicyTarget

#: The header with the most that the client is willing to pay for the request, in USD.
MAX_PRICE = b"x-trunkline-max-price"
_USD = re.compile(rb"[0-9]{1,9}(?:\.[0-9]{1,9})?")


def narrowed(
    facts: BodyFacts, key: PolicyKey, route: PolicyRoute, max_price: bytes | None, at: float
) -> tuple[str, int]:
    """Returns the `excluded` targets, as in `Allowed`, and what the request may cost at the others (nano-USD).

    The cost is -1 if no target is excluded: the ceiling of the whole route applies then. `max_price` is the header
    `MAX_PRICE`.

    Raises:
        Refusal: 400, because no target is left, or because the header is not an amount.
    """
    targets = route.targets
    if not targets:
        return "", -1
    left = _within_context(facts.estimate, targets) if route.bounded else targets
    if not left:
        raise _too_long(facts.estimate, targets, route)
    most = _most(key, max_price)
    if most is not None:
        costs = [(target.ceiling.request_cost(facts, route.reserved_output, at), target) for target in left]
        left = tuple(target for cost, target in costs if cost <= most)
        if not left:
            raise _too_expensive(min(cost for cost, _ in costs), most, by_header=max_price is not None)
    if len(left) == len(targets):
        return "\t".join(route.elsewhere), -1
    excluded = "\t".join(target.cluster for target in targets if target not in left)
    return excluded, max(target.ceiling.request_cost(facts, route.reserved_output, at) for target in left)


def _within_context(estimate: Estimate, targets: tuple[PolicyTarget, ...]) -> tuple[PolicyTarget, ...]:
    """Returns the targets where the request fits by the estimate; if there are none, those where it may fit
    nevertheless.
    """
    needed = estimate.prompt + estimate.stated
    if estimate.divisible:
        return targets
    fitting = tuple(target for target in targets if not target.context or needed <= target.context)
    if fitting:
        return fitting
    certain = estimate.certain + estimate.stated
    return tuple(target for target in targets if certain <= target.context)


def _most(key: PolicyKey, max_price: bytes | None) -> int | None:
    """Returns the lower of the maxima of key and client in nano-USD; None if neither sets one."""
    if max_price is None:
        return key.max_price or None
    if not _USD.fullmatch(max_price):
        message = "The header x-trunkline-max-price must be an amount in USD of at most 9 decimals, such as 0.05."
        raise Refusal(400, "invalid_max_price", message, param="x-trunkline-max-price")
    of_client = int(Decimal(max_price.decode()) * money.USD)
    return min(of_client, key.max_price) if key.max_price else of_client


def _too_long(estimate: Estimate, targets: tuple[PolicyTarget, ...], route: PolicyRoute) -> Refusal:
    longest = max(target.context for target in targets)
    answer = f" and allows {estimate.stated} for its answer" if estimate.stated else ""
    advice = "Shorten the prompt or lower the maximum of the answer." if estimate.stated else "Shorten the prompt."
    message = (
        f"This model's maximum context length is {longest} tokens. This request has about {estimate.prompt} "
        f"tokens in its prompt{answer}. {advice}"
    )
    return Refusal(400, "context_length_exceeded", message)


def _too_expensive(estimated: int, most: int, *, by_header: bool) -> Refusal:
    whose = "the header x-trunkline-max-price" if by_header else "its API key"
    message = (
        f"This request may cost {money.usd(estimated)} USD by its estimate at the cheapest target, and {whose} "
        f"allows {money.usd(most)} USD. Lower max_tokens, shorten the prompt, or allow more."
    )
    return Refusal(400, "max_price_exceeded", message)
