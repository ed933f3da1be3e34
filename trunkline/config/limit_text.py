"""Writes a limit in the short syntax of flags and listings:
`METRIC[/WINDOW[/TIME_ZONE]][:EACH][@MODEL]=AMOUNT[,alerts=SHARE/…][,soft]`.
"""

from __future__ import annotations

from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline.config import export, units


def name(stored: policy.Limit) -> str:
    """Writes the part before `=`, which is unique among the limits of a holder."""
    (shown,) = export.limits([stored])
    window = "".join(f"/{shown[field]}" for field in ("per", "time_zone") if field in shown)
    each = f":{shown['each']}" if "each" in shown else ""
    model = f"@{shown['model']}" if "model" in shown else ""
    return f"{shown['metric']}{window}{each}{model}"


def amount(stored: policy.Limit, number: int) -> str:
    """Writes a number in the limit's own unit: USD for cost."""
    return f"{units.usd(number):f}" if stored.metric == policy.METRIC_COST_USD else str(number)


def text(stored: policy.Limit) -> str:
    """Writes the limit in full, as `limits set` and trunkline.yaml accept it."""
    (shown,) = export.limits([stored])
    alerts = "/".join(f"{each:f}" for each in shown.get("alerts", ()))
    options = (f",alerts={alerts}" if alerts else "") + (",soft" if stored.soft else "")
    return f"{name(stored)}={shown['amount']:f}{options}"
