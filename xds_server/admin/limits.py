"""Parses limits of the Admin API into the model's; notes every problem under its field's path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trunkline_proto.policy.v1 import policy_pb2

from xds_server.admin import enums, values
from xds_server.admin.problems import Problems
from xds_server.model import Calendar, Each, Limit, Metric

_MAX = 32
_MAX_WINDOW = 366 * 86_400
#: Bounds of one limit. A soft limit may be exceeded ten times, and its operator may want to know.
_MAX_ALERTS, _MAX_ALERT = 10, 10_000


def limits(
    messages: Iterable[policy_pb2.Limit], problems: Problems, *, of_route: bool = False
) -> tuple[Limit, ...]:
    """Parses the field `limits` of the message that `problems` is at."""
    parsed = tuple(
        _limit(message, problems.at("limits", index), of_route=of_route) for index, message in enumerate(messages)
    )
    values.at_most(parsed, _MAX, problems.at("limits"))
    first_of: dict[tuple[str | int, ...], int] = {}
    for index, limit in enumerate(parsed):
        first = first_of.setdefault(limit.identity, index)
        if first != index:
            problems.at("limits", index).note(
                f"the same metric, window and model as limits[{first}], and the same `each`; accepted: one of them"
            )
    return parsed


def _limit(message: policy_pb2.Limit, problems: Problems, *, of_route: bool) -> Limit:
    metric = enums.optional(Metric, message, "metric")
    if metric is None:
        problems.at("metric").note(f"missing or not a known value; accepted: {', '.join(Metric)}")
    calendar = enums.optional(Calendar, message, "calendar")
    if metric is Metric.CONCURRENCY:
        if message.per_seconds:
            problems.at("per_seconds").note("concurrency has no window; accepted: 0")
        if message.calendar:
            problems.at("calendar").note("concurrency has no window; accepted: none")
    elif message.calendar and calendar is None:
        problems.at("calendar").note(f"not a known value; accepted: {', '.join(Calendar)}")
    elif calendar is not None and message.per_seconds:
        problems.at("per_seconds").note("a second window in addition to `calendar`; accepted: one of them")
    elif calendar is None and metric is not None:
        unit = "seconds, or a `calendar`"
        values.number(message.per_seconds, 1, _MAX_WINDOW, unit, problems.at("per_seconds"))
    if message.time_zone and not message.calendar:
        problems.at("time_zone").note("accepted only with a `calendar`")
    elif message.time_zone:
        values.time_zone(message.time_zone, problems.at("time_zone"))
    _model(message.model, problems.at("model"), of_route=of_route)
    values.number(message.amount, 0, values.MAX_AMOUNT, "", problems.at("amount"))
    each = enums.optional(Each, message, "each")
    if message.each and each is None:
        problems.at("each").note(f"not a known value; accepted: {', '.join(Each)}, or none")
    return Limit(
        metric=metric or Metric.REQUESTS,
        per_seconds=message.per_seconds,
        amount=message.amount,
        calendar=calendar,
        # UTC has one name, or the same window could be limited twice.
        time_zone="" if message.time_zone == "UTC" else message.time_zone,
        model=message.model,
        each=each,
        alerts_permille=_alerts(message.alerts_permille, problems.at("alerts_permille")),
        soft=message.soft,
    )


def _alerts(shares: Sequence[int], problems: Problems) -> tuple[int, ...]:
    values.at_most(shares, _MAX_ALERTS, problems)
    for share in shares:
        values.number(share, 1, _MAX_ALERT, "per mille of the amount", problems)
    return tuple(sorted(set(shares)))


def _model(model: str, problems: Problems, *, of_route: bool) -> None:
    if not model:
        return
    if of_route:
        problems.note("a route serves one model; accepted only in limits of organisations and keys")
    elif "*" in model or "?" in model:
        problems.note(f"{values.quoted(model)} is a pattern; accepted: the name of one model, or none for all")
    else:
        values.model(model, problems)
