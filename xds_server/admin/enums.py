"""The Admin API's enumerations ↔ the model's. Unspecified is the default; an unknown number is not there."""

from __future__ import annotations

from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2

from xds_server.model import Calendar, Metric, Privacy, Strategy, Visibility

STRATEGIES: dict[int, Strategy] = {
    pb.STRATEGY_UNSPECIFIED: Strategy.WEIGHTED,
    pb.STRATEGY_WEIGHTED: Strategy.WEIGHTED,
    pb.STRATEGY_PRIORITY: Strategy.PRIORITY,
    pb.STRATEGY_CHEAPEST: Strategy.CHEAPEST,
    pb.STRATEGY_FASTEST: Strategy.FASTEST,
    pb.STRATEGY_OWN_FIRST: Strategy.OWN_FIRST,
}
PRIVACIES: dict[int, Privacy] = {
    pb.PRIVACY_UNSPECIFIED: Privacy.ANY,
    pb.PRIVACY_ANY: Privacy.ANY,
    pb.PRIVACY_OWN_NODES: Privacy.OWN_NODES,
}
#: A limit without a metric means nothing, so nothing is the default.
METRICS: dict[int, Metric] = {
    policy_pb2.METRIC_REQUESTS: Metric.REQUESTS,
    policy_pb2.METRIC_TOKENS: Metric.TOKENS,
    policy_pb2.METRIC_COST_USD: Metric.COST_USD,
    policy_pb2.METRIC_CONCURRENCY: Metric.CONCURRENCY,
}
CALENDARS: dict[int, Calendar | None] = {
    policy_pb2.CALENDAR_UNSPECIFIED: None,
    policy_pb2.CALENDAR_DAY: Calendar.DAY,
    policy_pb2.CALENDAR_WEEK: Calendar.WEEK,
    policy_pb2.CALENDAR_MONTH: Calendar.MONTH,
}
#: Unspecified is the default of an invitation, and no value of an update.
VISIBILITIES: dict[int, Visibility] = {
    pb.VISIBILITY_UNSPECIFIED: Visibility.ORGANISATION,
    pb.VISIBILITY_PRIVATE: Visibility.PRIVATE,
    pb.VISIBILITY_ORGANISATION: Visibility.ORGANISATION,
    pb.VISIBILITY_COMMUNITY: Visibility.COMMUNITY,
}


def strategy(value: Strategy) -> pb.Strategy.ValueType:
    return pb.Strategy.Value(f"STRATEGY_{value.name}")


def privacy(value: Privacy) -> pb.Privacy.ValueType:
    return pb.Privacy.Value(f"PRIVACY_{value.name}")


def calendar(value: Calendar | None) -> policy_pb2.Calendar.ValueType:
    return policy_pb2.Calendar.Value(f"CALENDAR_{value.name if value is not None else 'UNSPECIFIED'}")


def metric(value: Metric) -> policy_pb2.Metric.ValueType:
    return policy_pb2.Metric.Value(f"METRIC_{value.name}")


def visibility(value: Visibility) -> pb.Visibility.ValueType:
    return pb.Visibility.Value(f"VISIBILITY_{value.name}")
