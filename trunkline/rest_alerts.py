"""Formats what rests at the gateways for `trunkline status`."""

from __future__ import annotations

from typing import Any

from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline.output import when


def row(alert: admin.RestAlert) -> dict[str, Any]:
    """Returns an alert as JSON values."""
    return {
        "kind": admin.RestAlertKind.Name(alert.kind).removeprefix("REST_ALERT_KIND_").lower(),
        "subject": alert.subject,
        "reason": alert.reason,
        "since": when(alert.since),
        "until": when(alert.until),
        "translator": alert.translator,
    }


def line(alert: admin.RestAlert) -> str:
    """Returns an alert as a sentence."""
    until = f", until {when(alert.until)}" if alert.until else ""
    return f"alert: {alert.subject}: {alert.reason}, since {when(alert.since)}{until} ({alert.translator})"
