"""Formats alerts of limits for `status`."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.limits.v1 import limits_pb2 as limits
from trunkline_proto.words import Words

from trunkline.config import limit_text
from trunkline.output import when

_DELIVERIES = Words(admin.AlertDelivery)
#: Stands for end users or tags that are not counted separately.
_OTHERS = "%"


def row(shown: admin.LimitAlert) -> dict[str, Any]:
    """Returns an alert as JSON values; amounts of cost are in USD."""
    alert = shown.alert
    return {
        "holder": shown.holder,
        "limit": limit_text.name(alert.limit),
        "value": _value(alert),
        "share": alert.share_permille / 1_000,
        "taken": limit_text.amount(alert.limit, alert.taken),
        "amount": limit_text.amount(alert.limit, alert.limit.amount),
        "refused": alert.refused,
        "soft": alert.limit.soft,
        "at": when(alert.reached_at),
        "until": when(alert.until),
        "delivery": _DELIVERIES.word(shown.delivery),
        "error": shown.error or None,
    }


def line(shown: admin.LimitAlert) -> str:
    """Returns an alert as a sentence."""
    alert, limit = shown.alert, shown.alert.limit
    value = _value(alert)
    whose = f" for '{value}'" if value else " for those beyond the ones counted apart" if value is None else ""
    percent = f"{alert.share_permille / 10:g} %"
    taken, amount = (limit_text.amount(limit, number) for number in (alert.taken, limit.amount))
    delivery = {
        admin.ALERT_DELIVERY_WAITING: ", not sent yet",
        admin.ALERT_DELIVERY_FAILED: ", not sent",
    }.get(shown.delivery, "")
    if delivery and shown.error:
        delivery += f": {shown.error}"
    refused = ", and has refused a request" if alert.refused else ""
    return (
        f"{when(alert.reached_at)} alert: {shown.holder} {limit_text.name(limit)}{whose} has reached {percent}: "
        f"{taken} of {amount}{refused}{delivery}"
    )


def _value(alert: limits.Alert) -> str | None:
    """Returns the end user or tag: empty for a limit without `each` and for requests without a value, None for
    values that are not counted separately.
    """
    if alert.value == _OTHERS:
        return None
    # In a limit of a route, the organisation's id comes before it.
    of = alert.value.partition("/")[2] if alert.holder == limits.HOLDER_ROUTE else alert.value
    return unquote(of)
