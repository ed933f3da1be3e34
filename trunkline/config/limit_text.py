"""A limit in one word, as flags take it and listings show it: `METRIC[/WINDOW[/TIME_ZONE]][@MODEL]=AMOUNT`."""

from __future__ import annotations

from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline.config import export


def name(stored: policy.Limit) -> str:
    """What stands before `=`: no two limits of one holder share it."""
    (shown,) = export.limits([stored])
    window = "".join(f"/{shown[field]}" for field in ("per", "time_zone") if field in shown)
    model = f"@{shown['model']}" if "model" in shown else ""
    return f"{shown['metric']}{window}{model}"


def text(stored: policy.Limit) -> str:
    (shown,) = export.limits([stored])
    return f"{name(stored)}={shown['amount']:f}"
