"""Policy resources for translators: what `trunkline.policy.v1` says, from the desired state."""

from __future__ import annotations

from trunkline_proto.policy.v1 import policy_pb2

from xds_server.model import Calendar, Key, Limit, Metric, Organisation, Price, Route, price_in_force

METRICS = {
    Metric.REQUESTS: policy_pb2.METRIC_REQUESTS,
    Metric.TOKENS: policy_pb2.METRIC_TOKENS,
    Metric.COST_USD: policy_pb2.METRIC_COST_USD,
    Metric.CONCURRENCY: policy_pb2.METRIC_CONCURRENCY,
}
CALENDARS = {
    None: policy_pb2.CALENDAR_UNSPECIFIED,
    Calendar.DAY: policy_pb2.CALENDAR_DAY,
    Calendar.WEEK: policy_pb2.CALENDAR_WEEK,
    Calendar.MONTH: policy_pb2.CALENDAR_MONTH,
}
#: A request is priced by when it began, and its line may be read this many seconds later.
_LATE = 86_400


def organisation(value: Organisation) -> bytes:
    message = policy_pb2.Organisation(id=value.id, name=value.name, limits=_limits(value.limits))
    return _encode(message)


def key(value: Key) -> bytes:
    message = policy_pb2.Key(
        id=value.id,
        organisation_id=value.organisation_id,
        name=value.name,
        hash=value.hash,
        models=value.models,
        limits=_limits(value.limits),
        expires_at=value.expires_at,
    )
    return _encode(message)


def route(value: Route, at: float, audiences: tuple[str, ...] = ()) -> bytes:
    """With the prices of requests that began in the day before `at` (Unix seconds), or begin later.

    `audiences` are those for which it has a shape of their own.
    """
    message = policy_pb2.Route(
        id=value.id,
        model=value.model,
        organisation_id=value.organisation_id,
        targets=[
            policy_pb2.Target(id=target.id, prices=map(_price, _current(target.prices, at)))
            for target in value.targets
        ],
        created_at=value.created_at,
        limits=_limits(value.limits),
        reserved_output_tokens=value.reserved_output_tokens,
        audiences=audiences,
    )
    return _encode(message)


def _limits(limits: tuple[Limit, ...]) -> list[policy_pb2.Limit]:
    return [
        policy_pb2.Limit(
            metric=METRICS[limit.metric],
            per_seconds=limit.per_seconds,
            amount=limit.amount,
            calendar=CALENDARS[limit.calendar],
            time_zone=limit.time_zone,
            model=limit.model,
        )
        for limit in limits
    ]


def _current(prices: tuple[Price, ...], at: float) -> tuple[Price, ...]:
    first = price_in_force(prices, at - _LATE)
    return prices[prices.index(first) :] if first is not None else prices


def _price(price: Price) -> policy_pb2.Price:
    return policy_pb2.Price(
        input=price.input,
        output=price.output,
        cached_input=price.cached_input,
        request=price.request,
        valid_from=price.valid_from,
        version=price.version,
    )


def _encode(message: policy_pb2.Organisation | policy_pb2.Key | policy_pb2.Route) -> bytes:
    # Deterministic: the version of a resource is a hash of these bytes.
    return message.SerializeToString(deterministic=True)
