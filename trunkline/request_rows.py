"""Formats single requests for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline.output import when
from trunkline.usage_rows import duration, exact_usd, outcome_row, record_row

RUNNING = (
    "id", "state", "org", "key", "model", "target", "attempt", "position", "expected_wait", "elapsed", "tokens",
    "started_at", "stream", "user", "tag", "reserved_prompt", "reserved_completion", "reserved_usd", "translator",
)  # fmt: skip
#: The columns that a narrow terminal keeps longest.
IMPORTANT_RUNNING = ("id", "state", "model", "elapsed", "target", "key", "tokens")
FINISHED = (
    "started_at", "id", "org", "key", "model", "target", "status", "attempts", "prompt", "completion", "cost_usd",
    "first_byte", "duration", "user", "tag",
)  # fmt: skip
IMPORTANT_FINISHED = ("id", "status", "model", "cost_usd", "duration", "target", "key", "started_at")
ATTEMPTS = ("attempt", "target", "credential", "status", "outcome", "duration")
COSTS = ("target", "cost_usd", "price_version", "served")
NUMBERS = {
    "attempt", "position", "expected_wait", "elapsed", "tokens", "reserved_prompt", "reserved_completion",
    "reserved_usd", "status", "attempts", "prompt", "completion", "cost_usd", "first_byte", "duration",
    "credential", "price_version",
}  # fmt: skip

_STATES: Mapping[int, str] = {admin.REQUEST_STATE_QUEUED: "queued", admin.REQUEST_STATE_RUNNING: "running"}
_MICRO = 1_000_000


def running_row(of: admin.RunningRequest, *, readable: bool) -> dict[str, Any]:
    """Returns the row of a request. Unless `readable`, durations are microseconds."""

    def shown(us: int) -> Any:
        return duration(us) if readable else us

    return {
        "id": of.id,
        "state": _STATES.get(of.state, ""),
        "org": of.organisation,
        "key": of.key,
        "model": of.model,
        "target": of.target_id,
        "attempt": of.attempt or "",
        "position": of.position or "",
        "expected_wait": shown(of.expected_wait_us),
        "elapsed": shown(of.elapsed_us),
        "tokens": of.events if of.stream and of.target_id else "",
        "started_at": when(of.started_at_us / _MICRO),
        "stream": of.stream,
        "user": of.end_user,
        "tag": of.tag,
        "reserved_prompt": of.reserved_prompt_tokens,
        "reserved_completion": of.reserved_completion_tokens,
        "reserved_usd": exact_usd(of.reserved_cost_nano_usd),
        "translator": of.translator,
    }


def finished_row(of: admin.FinishedRequest, *, readable: bool) -> dict[str, Any]:
    """Returns the columns of FINISHED. Unless `readable`, durations are microseconds."""
    record = of.record
    row = {
        **outcome_row(record, readable=readable),
        "started_at": when(record.started_at_us / _MICRO),
        "org": of.organisation,
        "key": of.key,
        "user": record.end_user,
    }
    return {name: row[name] for name in FINISHED}


def attempt_rows(of: admin.GetRequestResponse, *, readable: bool) -> list[dict[str, Any]]:
    """Returns the row of a request. Unless `readable`, durations are microseconds."""
    return [
        {
            "attempt": number,
            "target": each.target_id,
            "credential": each.credential or "",
            "status": each.status or "",
            "outcome": each.outcome,
            "duration": duration(each.duration_us) if readable else each.duration_us,
        }
        for number, each in enumerate(of.attempts, 1)
    ]


def cost_rows(of: admin.GetRequestResponse) -> list[dict[str, Any]]:
    """Returns the costs at each target, the cheapest first."""
    return [
        {
            "target": each.target_id,
            "cost_usd": exact_usd(each.cost_nano_usd) if each.price_version else "",
            "price_version": each.price_version or "",
            "served": each.served,
        }
        for each in sorted(of.costs, key=lambda cost: (not cost.price_version, cost.cost_nano_usd, cost.target_id))
    ]


def whole(of: admin.GetRequestResponse) -> dict[str, Any]:
    """Returns everything about one request for programs; durations are microseconds."""
    if of.HasField("running"):
        facts = running_row(of.running, readable=False)
    else:
        facts = {"org": of.finished.organisation, "key": of.finished.key, **record_row(of.finished.record)}
    return {**facts, "attempts_made": attempt_rows(of, readable=False), "costs": cost_rows(of)}
