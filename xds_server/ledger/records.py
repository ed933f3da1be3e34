"""Usage records as they arrive, and as they are stored: a batch as columns, one request as a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import add, attrgetter
from typing import Any, NamedTuple, TypeAlias

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
    "upstream_request_id": 256,
    "service_tier": 64,
}
_REQUIRED = ("id", "organisation_id")
#: What the client wrote is made to fit instead: a record that is refused is a request that nobody pays for.
_CLIENT_TEXT = 256
#: Nano-USD of a micro-USD.
MICRO = 1_000
#: Of one request: 10,000 USD.
MOST_NANO_USD = 10**13
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
            "claimed_prompt_tokens",
            "claimed_completion_tokens",
            "cache_write_tokens",
            "cache_write_1h_tokens",
            "audio_prompt_tokens",
            "audio_completion_tokens",
            "images",
            "audio_in_ms",
            "audio_out_ms",
            "characters",
            "search_units",
        ),
        _LARGEST,
    ),
    **dict.fromkeys(("cost_nano_usd", "earned_nano_usd"), MOST_NANO_USD),
}
_MOST_FAILED = 64


class Row(NamedTuple):
    """One request; `failed_attempts` are target, status and reason of each attempt before the last one."""

    id: str
    started_at_us: int
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
    cost_nano_usd: int
    price_version: int
    cache_hit: bool
    estimated: bool
    expired: bool
    stream: bool
    end_user: str
    tag: str
    failed_attempts: Sequence[tuple[str, int, str]]
    earned_nano_usd: int
    upstream_request_id: str
    capped: bool
    claimed_prompt_tokens: int
    claimed_completion_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    audio_prompt_tokens: int
    audio_completion_tokens: int
    images: int
    audio_in_ms: int
    audio_out_ms: int
    characters: int
    search_units: int
    service_tier: str


#: By the names of Row's fields, what stands for nothing.
EMPTY: Mapping[str, Any] = {
    name: ledger.UsageRecord.DESCRIPTOR.fields_by_name[name].default_value for name in Row._fields
}

#: By the names of Row's fields, the values of several requests, in one order. Nearly all work is done on these: on
#: a whole column it costs a tenth of what it costs record by record.
Columns: TypeAlias = dict[str, Sequence[Any]]

_fields_of = attrgetter("format", *Row._fields)


def columns(request: ledger.AppendRequest) -> Columns:
    """What is to be stored; empty if there is nothing.

    Raises InvalidFieldError, which names the first bad record and its field.
    """
    if len(request.records) > MOST_RECORDS:
        raise InvalidFieldError([f"records: {len(request.records)} items; accepted: at most {MOST_RECORDS:,}"])
    if len(request.source) > 128:
        raise InvalidFieldError(["source: accepted: at most 128 characters"])
    if not request.records:
        return {}
    # Each field of a message is asked for once, all in one call: asking is what is slow.
    formats, *values = zip(*map(_fields_of, request.records), strict=True)
    found: Columns = dict(zip(Row._fields, values, strict=True))
    _as_nano_usd(request.records, found)
    attempts = found["failed_attempts"]
    tried = [index for index, each in enumerate(attempts) if each]
    _check(request.records, tried if _are_ordinary(formats, found) else range(len(attempts)))
    for name in ("end_user", "tag"):
        if any(found[name]):
            found[name] = list(map(_fitted, found[name]))
    found["failed_attempts"] = (
        [_plain(each) if each else () for each in attempts] if tried else [()] * len(attempts)
    )
    return found


def chosen(of: Columns, indices: Sequence[int]) -> Columns:
    """Of each column, only these."""
    return {name: [column[index] for index in indices] for name, column in of.items()}


def tokens(of: Columns) -> list[int]:
    """Of each request, prompt and completion."""
    return list(map(add, of["prompt_tokens"], of["completion_tokens"]))


def rows(of: Columns) -> list[Row]:
    """One by one."""
    return list(map(Row._make, zip(*map(of.__getitem__, Row._fields), strict=True)))


def record(row: Row) -> ledger.UsageRecord:
    """As it arrived, with its money in micro-USD too."""
    fields = row._asdict()
    for name in ("cost", "earned"):
        fields[f"{name}_micro_usd"] = micro_usd(fields[f"{name}_nano_usd"])
    fields["failed_attempts"] = [
        ledger.FailedAttempt(target_id=target, status=status, reason=reason)
        for target, status, reason in row.failed_attempts
    ]
    return ledger.UsageRecord(format=FORMAT, **fields)


def micro_usd(nano: int) -> int:
    """Rounded half up."""
    return (2 * nano + MICRO) // (2 * MICRO)


def _as_nano_usd(records: Sequence[ledger.UsageRecord], of: Columns) -> None:
    """What an older translator has sent in micro-USD alone."""
    if not all(of["cost_nano_usd"]):
        of["cost_nano_usd"] = [
            nano or record.cost_micro_usd * MICRO
            for nano, record in zip(of["cost_nano_usd"], records, strict=True)
        ]
    if any(of["node_id"]):
        of["earned_nano_usd"] = [
            nano or (record.earned_micro_usd * MICRO if node else 0)
            for nano, record, node in zip(of["earned_nano_usd"], records, of["node_id"], strict=True)
        ]


def _are_ordinary(formats: Sequence[int], of: Columns) -> bool:
    """Within all bounds, as nearly every batch is; failed attempts are not looked at."""
    return bool(
        min(formats) == max(formats) == FORMAT
        and all(all(of[name]) for name in _REQUIRED)
        and all(
            max(map(len, of[name])) <= most and "\x00" not in "".join(of[name]) for name, most in _TEXTS.items()
        )
        and all(max(of[name]) <= largest for name, largest in _NUMBERS.items())
        and min(of["started_at_us"]) > 0
        and max(of["started_at_us"]) <= _LAST_US
    )


def _check(records: Sequence[ledger.UsageRecord], indices: Iterable[int]) -> None:
    for index in indices:
        for problem in _problems(records[index]):
            raise InvalidFieldError([f"records[{index}].{problem} (record {records[index].id[:128]!r})"])


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
    if not 0 < record.started_at_us <= _LAST_US:
        yield "started_at_us: accepted: Unix microseconds, from 1 to the end of the year 9999"
    if len(record.failed_attempts) > _MOST_FAILED:
        yield f"failed_attempts: {len(record.failed_attempts)} items; accepted: at most {_MOST_FAILED}"
    for each in record.failed_attempts:
        if len(each.target_id) > 512 or len(each.reason) > 512 or "\x00" in each.target_id + each.reason:
            yield "failed_attempts: accepted: target_id and reason of at most 512 characters, none of them NUL"
        if each.status > 999:
            yield f"failed_attempts: status {each.status} is out of range; accepted: at most 999"


def _fitted(text: str) -> str:
    return text[:_CLIENT_TEXT].replace("\x00", "\ufffd")


def _plain(attempts: Sequence[ledger.FailedAttempt]) -> list[tuple[str, int, str]]:
    return [(each.target_id, each.status, each.reason) for each in attempts]
