"""The form in which clients see limits: the headers, and the refusals in OpenAI's format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import assert_never
from urllib.parse import unquote

from translator import money
from translator.errors import NoPlace, Refusal
from translator.limits import values, windows
from translator.limits.limit import POOL, HolderLimit, Metric
from translator.limits.limiter import Limiter
from translator.limits.reservation import Refused
from translator.limits.values import is_overflow

_DAY = 86_400


def headers(limiter: Limiter, limits: Sequence[HolderLimit], at: float) -> dict[str, str]:
    """Returns `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` of the limits with the least remaining, if
    there are any: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
    """
    requests, tokens = limiter.remaining(limits, at)
    found = {}
    if requests is not None:
        found["x-ratelimit-limit-requests"] = str(requests.limit)
        found["x-ratelimit-remaining-requests"] = str(requests.remaining) if requests.remaining > 0 else "0"
        found["x-ratelimit-reset-requests"] = _written(math.ceil(requests.resets - at))
    if tokens is not None:
        found["x-ratelimit-limit-tokens"] = str(tokens.limit)
        found["x-ratelimit-remaining-tokens"] = str(tokens.remaining) if tokens.remaining > 0 else "0"
        found["x-ratelimit-reset-tokens"] = _written(math.ceil(tokens.resets - at))
    return found


def duration(seconds: float) -> str:
    """Formats seconds like OpenAI does, e.g. `1s`, `6m0s`, `1h0m0s`; rounded up to whole seconds."""
    return _written(math.ceil(seconds))


@lru_cache(maxsize=4_096)
def _written(whole: int) -> str:
    if whole < 60:
        return f"{max(0, whole)}s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def retry_after(seconds: float) -> dict[str, str]:
    """Returns the two headers that say when to try again; both are rounded up, to at least one."""
    return {
        "retry-after": str(max(1, math.ceil(seconds))),
        "retry-after-ms": str(max(1, math.ceil(seconds * 1000))),
    }


def refusal(refused: Refused, remaining: dict[str, str], at: float) -> Refusal:
    """Returns a 429: `insufficient_quota` for budgets, which are limits on cost and all windows of an hour and
    more, and `rate_limit_exceeded` for the others. `remaining` are the `headers`.
    """
    limit = refused.limit
    kind = "tokens" if limit.metric is Metric.TOKENS else "requests"
    if is_budget(limit):
        code = kind = "insufficient_quota"
    else:
        code = "rate_limit_exceeded"
    answer = dict(remaining)
    if refused.renews is not None:
        answer |= retry_after(refused.renews - at)
    if limit.metric is Metric.CONCURRENCY and refused.renews is not None:
        full = NoPlace(429, code, _message(refused, at), kind=kind, headers=answer)
        full.limit_ids, full.holder, full.alone = (limit.id,), limit.holder, limit.value is not None
        return full
    return Refusal(429, code, _message(refused, at), kind=kind, headers=answer)


def is_budget(limit: HolderLimit) -> bool:
    """Returns whether a limit is a budget rather than a rate. No program would wait for a budget to renew."""
    if limit.metric is Metric.CONCURRENCY:
        return False
    return limit.metric is Metric.COST_USD or not windows.is_sliding(limit.window)


def _message(refused: Refused, at: float) -> str:
    limit = refused.limit
    whose = f"{limit.holder} '{limit.holder_name}'" + (f" for model '{limit.model}'" if limit.model else "")
    whose += of_whom(limit)
    allowed = f"{_amount(limit.metric, limit.amount)}{_per(limit.window)}"
    if refused.renews is None:
        if limit.metric is Metric.TOKENS or limit.metric is Metric.COST_USD:
            return (
                f"This request alone may use {_amount(limit.metric, refused.needed)}, which is more than {whose} "
                f"has in all: {allowed}. Lower max_tokens or shorten the prompt."
            )
        return f"The limit of {whose} allows no request: {allowed}."
    if limit.holder == POOL:
        return f"All machines for model '{limit.model}' are busy. Send the request again when another has ended."
    if limit.metric is Metric.CONCURRENCY:
        return f"The limit of {whose} is reached: {allowed}. Send the request again when another one has ended."
    state = (
        f"{allowed}, of which {_amount(limit.metric, refused.taken)} are used or reserved; "
        f"this request may use {_amount(limit.metric, refused.needed)}"
    )
    moment = datetime.fromtimestamp(math.ceil(refused.renews), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if is_budget(limit):
        return f"The budget of {whose} does not suffice: {state}. It renews at {moment}."
    wait = duration(refused.renews - at)
    return f"The rate limit of {whose} is reached: {state}. Try again in {wait}, at {moment}."


def of_whom(limit: HolderLimit) -> str:
    """Returns the end user or tag of a limit, preceded by a space; empty if the limit is for all."""
    if limit.value is None:
        return ""
    article, one = ("an", "end user") if limit.each == "user" else ("a", "tag")
    if is_overflow(limit.value):
        return f" for all {one}s beyond the first {values.MAX:,}"
    # In a limit of a route, the organisation precedes the value.
    value = limit.value.partition("/")[2] if limit.holder == "route" else limit.value
    return f" for the {one} '{unquote(value)}'" if value else f" for requests without {article} {one}"


def _amount(metric: Metric, amount: int) -> str:
    match metric:
        case Metric.REQUESTS:
            return f"{amount} requests"
        case Metric.TOKENS:
            return f"{amount} tokens"
        case Metric.COST_USD:
            return f"{money.usd(amount)} USD"
        case Metric.CONCURRENCY:
            return f"{amount} requests at a time"
        case _:
            assert_never(metric)


def _per(window: str) -> str:
    if window == windows.NO_WINDOW:
        return ""
    unit, calendar, time_zone = window.partition("@")
    if calendar:
        return f" per calendar {unit} ({time_zone})"
    days, rest = divmod(int(unit), _DAY)
    return f" per {days}d" if days and not rest else f" per {duration(int(unit))}"
