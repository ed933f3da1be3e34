"""Converts limits between the policy's messages and the limiter's values."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.policy.words import CALENDARS, EACHES, METRICS

from translator import money
from translator.errors import LimitError
from translator.limits import HolderLimit, Metric, windows
from translator.limits.limit import BY_TEXT, Each, HolderKind

_EACHES: dict[str, Each] = {"": "", "user": "user", "tag": "tag"}


def limits(
    messages: Iterable[policy.Limit], holder: HolderKind, holder_id: str, holder_name: str
) -> tuple[HolderLimit, ...]:
    """Converts limits. Raises LimitError: a metric or calendar that this version does not know, no window, or an
    unknown time zone.
    """
    return tuple(
        HolderLimit(
            _metric(message),
            _window(message),
            _amount(message),
            holder,
            holder_id,
            holder_name,
            message.model,
            _each(message),
            tuple(message.alerts_permille),
            message.soft,
        )
        for message in messages
    )


def message(
    metric: Metric, window: str, model: str, each: str, *, amount: int = 0, soft: bool = False
) -> policy.Limit:
    """Returns the message of a limit, without its alerts. The amount is nano-USD for cost."""
    made = policy.Limit(
        metric=METRICS[metric.text], model=model, soft=soft, each=EACHES[each] if each else policy.EACH_UNSPECIFIED
    )
    made.amount = counted(metric, amount)
    unit, calendar, zone = window.partition("@")
    if calendar:
        made.calendar, made.time_zone = CALENDARS[unit], "" if zone == "UTC" else zone
    elif window != windows.NO_WINDOW:
        made.per_seconds = int(window)
    return made


def counted(metric: Metric, amount: int) -> int:
    """Converts an amount to the policy's unit: micro-USD for cost, rounded up."""
    return -(-amount // money.MICRO) if metric is Metric.COST_USD else amount


def _metric(message: policy.Limit) -> Metric:
    metric = BY_TEXT.get(METRICS.word(message.metric))
    if metric is None:
        raise LimitError(f"metric {message.metric} is not known to this version")
    return metric


def _each(message: policy.Limit) -> Each:
    each = _EACHES.get(EACHES.word(message.each))
    if each is None:
        raise LimitError(f"each {message.each} is not known to this version")
    return each


def _amount(message: policy.Limit) -> int:
    """Returns nano-USD for cost, which the policy has in micro-USD like the configuration."""
    return message.amount * money.MICRO if message.metric == policy.METRIC_COST_USD else message.amount


def _window(message: policy.Limit) -> str:
    if message.metric == policy.METRIC_CONCURRENCY:
        return windows.NO_WINDOW
    if not message.calendar:
        return windows.seconds(message.per_seconds)
    unit = CALENDARS.word(message.calendar)
    if unit not in windows.CALENDARS:
        raise LimitError(f"calendar {message.calendar} is not known to this version")
    return windows.calendar(unit, message.time_zone)
