"""Limits of the Admin API → the model's, with everything that is wrong noted under its field's path."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline_proto.policy.v1 import policy_pb2

from xds_server.admin import enums, values
from xds_server.admin.problems import Problems
from xds_server.model import Calendar, Limit, Metric

_MOST = 32
_LONGEST_WINDOW = 366 * 86_400


def limits(
    messages: Iterable[policy_pb2.Limit], problems: Problems, *, of_route: bool = False
) -> tuple[Limit, ...]:
    """`problems` is at the message that has the field `limits`."""
    parsed = tuple(
        _limit(message, problems.at("limits", index), of_route=of_route) for index, message in enumerate(messages)
    )
    values.at_most(parsed, _MOST, problems.at("limits"))
    first_of: dict[tuple[object, ...], int] = {}
    for index, limit in enumerate(parsed):
        what = (limit.metric, limit.per_seconds, limit.calendar, limit.time_zone, limit.model)
        first = first_of.setdefault(what, index)
        if first != index:
            problems.at("limits", index).note(
                f"the same metric, window and model as limits[{first}]; accepted: one limit of each"
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
        problems.at("per_seconds").note("a second window beside `calendar`; accepted: one of them")
    elif calendar is None and metric is not None:
        unit = "seconds, or a `calendar`"
        values.number(message.per_seconds, 1, _LONGEST_WINDOW, unit, problems.at("per_seconds"))
    if message.time_zone and not message.calendar:
        problems.at("time_zone").note("accepted only with a `calendar`")
    elif message.time_zone:
        values.time_zone(message.time_zone, problems.at("time_zone"))
    _model(message.model, problems.at("model"), of_route=of_route)
    values.number(message.amount, 0, values.LARGEST_AMOUNT, "", problems.at("amount"))
    return Limit(
        metric=metric or Metric.REQUESTS,
        per_seconds=message.per_seconds,
        amount=message.amount,
        calendar=calendar,
        # One name for it, or the same window could be limited twice.
        time_zone="" if message.time_zone == "UTC" else message.time_zone,
        model=message.model,
    )


def _model(model: str, problems: Problems, *, of_route: bool) -> None:
    if not model:
        return
    if of_route:
        problems.note("a route serves one model; accepted only in limits of organisations and keys")
    elif "*" in model or "?" in model:
        problems.note(f"{values.quoted(model)} is a pattern; accepted: the name of one model, or none for all")
    else:
        values.model(model, problems)
