"""Formats usage for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from trunkline.output import when

#: The columns of an exported record, in order; times are Unix microseconds, money is in the unit that the column
#: names.
RECORD_COLUMNS = tuple(
    field.name
    for field in ledger.UsageRecord.DESCRIPTOR.fields
    if field.name != "plain"  # not stored
)

#: Column → field of UsageRow.
_SUMS = {
    {"cost_micro_usd": "cost_usd"}.get(field.name, field.name.removesuffix("_tokens")): field.name
    for field in admin.UsageRow.DESCRIPTOR.fields
    if field.name not in {"values", "cost_nano_usd"}
}
#: The share of prompt tokens that the provider read from its cache, in percent.
_CACHED_PERCENT = "cached_percent"
#: The columns of a report, after its dimensions.
SUM_COLUMNS = (*_SUMS, _CACHED_PERCENT)
#: Columns that are empty in most reports; in UsageRow they come last.
_SELDOM = SUM_COLUMNS[SUM_COLUMNS.index("capped") :]
#: Columns of the heaviest requests that few requests have.
_CLAIM = ("capped", "claimed_prompt", "claimed_completion", "service_tier", "upstream_request_id")

_MICRO = 1_000_000
_NANO = 1_000_000_000


def usd(micro: int) -> str:
    """Formats micro-USD, as `0.001234`: always with six decimals, so that columns align and nothing is rounded."""
    return f"{Decimal(micro) / _MICRO:.6f}"


def exact_usd(nano: int) -> str:
    """Formats nano-USD like `usd`, with nine decimals: `0.001234567`."""
    return f"{Decimal(nano) / _NANO:.9f}"


def duration(us: int) -> str:
    """Formats a duration: `850 µs`, `12.3 ms`, `4.56 s` or `2 m 05 s`; empty for 0, which means none."""
    if us == 0:
        return ""
    if us < 1_000:
        return f"{us} µs"
    if us < 1_000_000:
        return f"{us / 1_000:.1f} ms"
    if us < 60_000_000:
        return f"{us / 1_000_000:.2f} s"
    minutes, seconds = divmod(round(us / 1_000_000), 60)
    return f"{minutes} m {seconds:02} s"


def report_row(row: admin.UsageRow, by: tuple[str, ...]) -> dict[str, Any]:
    """Returns a column per dimension, then the sums."""
    sums = {column: getattr(row, field) for column, field in _SUMS.items()}
    cached = round(100 * row.cached_tokens / row.prompt_tokens, 1) if row.prompt_tokens else 0.0
    return {
        **dict(zip(by, row.values, strict=True)),
        **sums,
        "cost_usd": exact_usd(row.cost_nano_usd),
        _CACHED_PERCENT: cached,
    }


def outcome_row(record: ledger.UsageRecord, *, readable: bool) -> dict[str, Any]:
    """Returns the columns that all listings of single requests share. Unless `readable`, durations are
    microseconds.
    """
    return {
        "id": record.id,
        "model": record.model,
        "target": record.target_id,
        "status": record.status,
        "attempts": record.attempts,
        "prompt": record.prompt_tokens,
        "completion": record.completion_tokens,
        "cost_usd": exact_usd(record.cost_nano_usd),
        "first_byte": duration(record.first_byte_us) if readable else record.first_byte_us,
        "duration": duration(record.duration_us) if readable else record.duration_us,
        "tag": record.tag,
    }


def request_row(
    record: ledger.UsageRecord, *, readable: bool, labels: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Returns one of the heaviest requests. Unless `readable`, durations are microseconds. `labels`: id → name."""
    return {
        **outcome_row(record, readable=readable),
        "at": when(record.started_at_us / _MICRO),
        "org": labels.get(record.organisation_id, record.organisation_id),
        "key": labels.get(record.key_id, record.key_id),
        "capped": record.capped,
        "claimed_prompt": record.claimed_prompt_tokens,
        "claimed_completion": record.claimed_completion_tokens,
        "service_tier": record.service_tier,
        "upstream_request_id": record.upstream_request_id,
    }


def filled(columns: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns `columns` for a table, without the rare ones that none of these `rows` has."""
    seldom = {*_SELDOM, *_CLAIM}
    return [name for name in columns if name not in seldom or any(row[name] for row in rows)]


def comparison_row(of: admin.TargetComparison, *, readable: bool) -> dict[str, Any]:
    """Returns a target's row of a comparison. Unless `readable`, durations are microseconds."""
    p50, p95 = of.first_byte_p50_us, of.first_byte_p95_us
    return {
        "target": of.target_id,
        "requests": of.requests,
        "usd_per_million": usd(of.cost_per_million),
        "first_byte_p50": duration(p50) if readable else p50,
        "first_byte_p95": duration(p95) if readable else p95,
        "tokens_per_second": of.millitokens_per_second / 1_000,
        "error_percent": of.error_permille / 10,
        "retry_percent": of.retry_permille / 10,
    }


def refused_row(of: admin.RefusedUsage, *, readable: bool) -> dict[str, Any]:
    """Returns a record that was set aside; unless `readable`, with the record in full."""
    row = {
        "refused_at": when(of.refused_at_us / _MICRO),
        "source": of.source,
        "id": of.record.id,
        "model": of.record.model,
        "field": of.field,
        "reason": of.reason,
    }
    return row if readable else {**row, "record": record_row(of.record)}


def set_aside(number: int) -> str:
    """Returns the warning about records that were set aside."""
    return f"{number:,} usage records could not be stored and are not included: see `trunkline usage refused`"


def record_row(record: ledger.UsageRecord) -> dict[str, Any]:
    """Returns all fields of an exported record, with failed attempts as a list of objects."""
    row: dict[str, Any] = {name: getattr(record, name) for name in RECORD_COLUMNS}
    row["failed_attempts"] = [
        {
            "target_id": each.target_id,
            "credential_index": each.credential_index,
            "duration_us": each.duration_us,
            "status": each.status,
            "reason": each.reason,
        }
        for each in record.failed_attempts
    ]
    return row
