"""Alerts, and counts of limits, as translators report them."""

from __future__ import annotations

from typing import Any

from trunkline_proto.limits.v1 import limits_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2 as policy

NOW = 1_800_000_000


def alert(share: int = 800, *, reached_at: int = NOW, until: int = NOW + 3_600, **more: Any) -> pb.Alert:
    limit = policy.Limit(metric=policy.METRIC_COST_USD, per_seconds=3_600, amount=10_000_000)
    return pb.Alert(
        **{
            "holder": pb.HOLDER_ORGANISATION,
            "holder_id": "org_1",
            "holder_name": "acme",
            "limit": limit,
            "share_permille": share,
            "taken": 8_250_000,
            "reached_at": reached_at,
            "until": until,
            **more,
        }
    )
