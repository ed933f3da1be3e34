"""Names limits and their holders as operators write them: `key:acme/ci`,
`cost_usd/month/Europe/Berlin:user@gpt-4.1`.
"""

from __future__ import annotations

from decimal import Decimal

from trunkline_proto.limits.v1 import limits_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2 as policy

from xds_server.messages import member
from xds_server.model import Calendar, DesiredState, Each, Limit, Metric

_FIELDS = policy.Limit.DESCRIPTOR.fields_by_name
_MICRO = 1_000_000


def holder(state: DesiredState, kind: int, holder_id: str) -> str:
    """Names a holder; by its id if the object no longer exists."""
    owners = state.owners
    if kind == pb.HOLDER_ORGANISATION:
        return f"org:{owners.get(holder_id, holder_id)}"
    if kind == pb.HOLDER_KEY:
        key = state.keys.get(holder_id)
        return f"key:{owners[key.organisation_id]}/{key.name}" if key is not None else f"key:{holder_id}"
    route = state.routes.get(holder_id)
    if route is None:
        return f"route:{holder_id}"
    owner = owners[route.organisation_id]
    return f"route:{owner}/{route.model}" if owner else f"route:{route.model}"


def limit(message: policy.Limit) -> str:
    """Names a limit without its amount."""
    return Limit(
        member(Metric, _FIELDS["metric"].enum_type, message.metric) or Metric.REQUESTS,
        message.per_seconds,
        message.amount,
        member(Calendar, _FIELDS["calendar"].enum_type, message.calendar),
        message.time_zone,
        message.model,
        each=member(Each, _FIELDS["each"].enum_type, message.each),
    ).name


def amount(message: policy.Limit, number: int) -> str:
    """Formats a number of the limit's unit: USD for cost."""
    if message.metric == policy.METRIC_COST_USD:
        return f"{(Decimal(number) / _MICRO).normalize():f}"
    return str(number)


def unit(message: policy.Limit) -> str:
    """Returns what is counted: `usd`, `tokens` or `requests`."""
    return {policy.METRIC_COST_USD: "usd", policy.METRIC_TOKENS: "tokens"}.get(message.metric, "requests")


def each(message: policy.Limit) -> str:
    """Returns `end_user` or `tag`, as usage records call it."""
    return "end_user" if message.each == policy.EACH_USER else "tag"
