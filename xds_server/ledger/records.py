"""Usage records as they arrive and as they are stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from xds_server.errors import InvalidFieldError

FORMAT = 1
MOST_RECORDS = 1_000
HOUR_US = 3_600_000_000

#: Field → most characters.
_TEXTS = {
    "id": 128,
    "organisation_id": 128,
    "key_id": 128,
    "route_id": 128,
    "model": 512,
    "target_id": 512,
    "provider": 128,
    "node_id": 128,
    "response_flags": 512,
}
_REQUIRED = ("id", "organisation_id")
#: What the client wrote is made to fit instead: a record that is refused is a request that nobody pays for.
_CLIENT_TEXT = 256
#: Fits a signed 64-bit column with room for thousands of sums.
_LARGEST = 10**15
_LAST_US = 253_402_300_799_999_999  # the end of the year 9999
_NUMBERS = {
    "attempts": 1_000_000,
    "status": 999,
    "price_version": 0xFFFFFFFF,
    **dict.fromkeys(
        (
            "request_bytes",
            "response_bytes",
            "first_byte_us",
            "duration_us",
            "prompt_tokens",
            "cached_tokens",
            "completion_tokens",
            "reasoning_tokens",
            "cost_micro_usd",
            "earned_micro_usd",
        ),
        _LARGEST,
    ),
}
_MOST_FAILED = 64
_texts_of, _numbers_of = attrgetter(*_TEXTS), attrgetter(*_NUMBERS)
#: No field's bound is below these, except the status's.
_SHORTEST, _SMALLEST = min(_TEXTS.values()), sorted(set(_NUMBERS.values()))[1]


class Row(NamedTuple):
    """A row of usage_record without its `seq`."""

    id: str
    started_at_us: int
    hour: int
    organisation_id: str
    key_id: str
    route_id: str
    model: str
    target_id: str
    provider: str
    node_id: str
    attempts: int
    status: int
    response_flags: str
    request_bytes: int
    response_bytes: int
    first_byte_us: int
    duration_us: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    tokens: int
    cost_micro_usd: int
    price_version: int
    cache_hit: bool
    estimated: bool
    expired: bool
    stream: bool
    end_user: str
    tag: str
    failed_attempts: str
    earned_micro_usd: int


#: Fields of Row that a record has under the same name.
_SHARED = [name for name in Row._fields if name not in {"hour", "tokens", "failed_attempts", "end_user", "tag"}]


def rows(request: ledger.AppendRequest, now_us: int) -> list[Row]:
    """What is to be stored; `now_us` stands in for a start that is not known.

    Raises InvalidFieldError, which names the first bad record and its field.
    """
    if len(request.records) > MOST_RECORDS:
        raise InvalidFieldError([f"records: {len(request.records)} items; accepted: at most {MOST_RECORDS:,}"])
    if len(request.source) > 128:
        raise InvalidFieldError(["source: accepted: at most 128 characters"])
    return [_row(record, f"records[{index}]", now_us) for index, record in enumerate(request.records)]


def record(row: Row) -> ledger.UsageRecord:
    """As it arrived."""
    shared = {name: getattr(row, name) for name in _SHARED}
    return ledger.UsageRecord(
        **shared,
        format=FORMAT,
        end_user=row.end_user,
        tag=row.tag,
        failed_attempts=[
            ledger.FailedAttempt(target_id=target, status=status, reason=reason)
            for target, status, reason in failed(row.failed_attempts)
        ],
    )


def failed(encoded: str) -> list[tuple[str, int, str]]:
    """Target, status and reason of each attempt before the last one."""
    return [(target, status, reason) for target, status, reason in json.loads(encoded)] if encoded else []


def of_columns(columns: Sequence[Any]) -> Row:
    """From the database; SQLite knows no booleans."""
    row = Row(*columns)
    return row._replace(
        cache_hit=bool(row.cache_hit),
        estimated=bool(row.estimated),
        expired=bool(row.expired),
        stream=bool(row.stream),
    )


def _row(record: ledger.UsageRecord, path: str, now_us: int) -> Row:
    problem = _problem(record)
    if problem:
        raise InvalidFieldError([f"{path}.{problem} (record {record.id[:128]!r})"])
    started = record.started_at_us or now_us
    return Row(
        record.id,
        started,
        started // HOUR_US,
        record.organisation_id,
        record.key_id,
        record.route_id,
        record.model,
        record.target_id,
        record.provider,
        record.node_id,
        record.attempts,
        record.status,
        record.response_flags,
        record.request_bytes,
        record.response_bytes,
        record.first_byte_us,
        record.duration_us,
        record.prompt_tokens,
        record.cached_tokens,
        record.completion_tokens,
        record.reasoning_tokens,
        record.prompt_tokens + record.completion_tokens,
        record.cost_micro_usd,
        record.price_version,
        record.cache_hit,
        record.estimated,
        record.expired,
        record.stream,
        _fitted(record.end_user),
        _fitted(record.tag),
        _encoded(record.failed_attempts) if record.failed_attempts else "",
        record.earned_micro_usd,
    )


def _problem(record: ledger.UsageRecord) -> str:
    """The first one; empty if there is none."""
    return "" if _is_ordinary(record) else next(_problems(record), "")


def _is_ordinary(record: ledger.UsageRecord) -> bool:
    """Well within all bounds, as nearly every record is: asking for each field would cost more than storing it."""
    texts = _texts_of(record)
    return bool(
        record.format == FORMAT
        and record.id
        and record.organisation_id
        and max(map(len, texts)) <= _SHORTEST
        and "\x00" not in "".join(texts)
        and record.status <= _NUMBERS["status"]
        and max(_numbers_of(record)) <= _SMALLEST
        and 0 <= record.started_at_us <= _LAST_US
        and not record.failed_attempts
    )


def _problems(record: ledger.UsageRecord) -> Iterator[str]:
    if record.format != FORMAT:
        yield f"format: {record.format} is not known; accepted: {FORMAT}"
    for name in _REQUIRED:
        if not getattr(record, name):
            yield f"{name}: missing"
    for name, most in _TEXTS.items():
        text = getattr(record, name)
        if len(text) > most or "\x00" in text:
            yield f"{name}: accepted: at most {most} characters, none of them NUL"
    for name, largest in _NUMBERS.items():
        if getattr(record, name) > largest:
            yield f"{name}: {getattr(record, name)} is out of range; accepted: at most {largest:,}"
    if not 0 <= record.started_at_us <= _LAST_US:
        yield "started_at_us: accepted: Unix microseconds until the year 9999, or 0 = not known"
    if len(record.failed_attempts) > _MOST_FAILED:
        yield f"failed_attempts: {len(record.failed_attempts)} items; accepted: at most {_MOST_FAILED}"
    for each in record.failed_attempts:
        if len(each.target_id) > 512 or len(each.reason) > 512 or "\x00" in each.target_id + each.reason:
            yield "failed_attempts: accepted: target_id and reason of at most 512 characters, none of them NUL"
        if each.status > 999:
            yield f"failed_attempts: status {each.status} is out of range; accepted: at most 999"


def _fitted(text: str) -> str:
    return text[:_CLIENT_TEXT].replace("\x00", "\ufffd") if text else ""


def _encoded(attempts: Iterable[ledger.FailedAttempt]) -> str:
    found = [[each.target_id, each.status, each.reason] for each in attempts]
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)
