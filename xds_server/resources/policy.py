"""Policy resources for translators: what `trunkline.policy.v1` says, from the desired state."""

from __future__ import annotations

from trunkline_proto.policy.v1 import policy_pb2

from xds_server.model import Key, Limit, Metric, Organisation, Price, Route

METRICS = {
    Metric.REQUESTS: policy_pb2.METRIC_REQUESTS,
    Metric.TOKENS: policy_pb2.METRIC_TOKENS,
    Metric.COST_USD: policy_pb2.METRIC_COST_USD,
    Metric.CONCURRENCY: policy_pb2.METRIC_CONCURRENCY,
}


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


def route(value: Route) -> bytes:
    message = policy_pb2.Route(
        id=value.id,
        model=value.model,
        organisation_id=value.organisation_id,
        targets=[policy_pb2.Target(id=target.id, prices=[_price(target.price)]) for target in value.targets],
        created_at=value.created_at,
    )
    return _encode(message)


def _limits(limits: tuple[Limit, ...]) -> list[policy_pb2.Limit]:
    return [
        policy_pb2.Limit(metric=METRICS[limit.metric], per_seconds=limit.per_seconds, amount=limit.amount)
        for limit in limits
    ]


def _price(price: Price) -> policy_pb2.Price:
    return policy_pb2.Price(input=price.input, output=price.output)


def _encode(message: policy_pb2.Organisation | policy_pb2.Key | policy_pb2.Route) -> bytes:
    # Deterministic: the version of a resource is a hash of these bytes.
    return message.SerializeToString(deterministic=True)
