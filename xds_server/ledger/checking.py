"""Checks which records can be stored: a whole batch at once if nothing is unusual, otherwise record by record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from google.protobuf.message import DecodeError
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from xds_server.errors import InvalidFieldError
from xds_server.usage import records
from xds_server.usage.records import EMPTY, FORMAT, MICRO, Columns

MAX_RECORDS = 1_000

#: Field → maximum number of characters. The client's own texts are cut instead.
_TEXTS = {
    **{name: 512 for name, empty in EMPTY.items() if empty == "" and name not in {"end_user", "tag"}},
    **dict.fromkeys(("id", "organisation_id", "key_id", "route_id", "provider", "node_id"), 128),
    "upstream_request_id": 256,
    "service_tier": 64,
}
_REQUIRED = ("id", "organisation_id")
#: The sum over 900,000 requests of one hour must fit a signed 64-bit column. Translators send no more: their
#: bounds are these or lower ones.
_MAX = 10**13
_LAST_US = 253_402_300_799_999_999  # the end of the year 9999
_MAX_CREDENTIALS = 1_000
#: Money is bounded in nano-USD: 10,000 USD for one request.
_NUMBERS = {
    **{name: _MAX for name, empty in EMPTY.items() if type(empty) is int and name != "started_at_us"},
    "attempts": 1_000_000,
    "status": 999,
    "target_status": 999,
    "price_version": 0xFFFFFFFF,
    "credential_index": _MAX_CREDENTIALS,
}
_MAX_FAILED = 64


_PACKED_COLUMNS = [each.name for each in ledger.PackedRecords.DESCRIPTOR.fields if each.name != "templates"]


class RecordRefusal(NamedTuple):
    """A record that cannot be stored. `field` is empty if the reason is not a single field."""

    record: ledger.UsageRecord
    field: str
    reason: str


class CheckedBatch(NamedTuple):
    """A sorted batch: the `columns` of the good records (empty without any), and the records that cannot be
    stored.
    """

    columns: Columns
    refused: list[RecordRefusal]


def check_request(request: ledger.AppendRequest) -> None:
    """Raises InvalidFieldError for a problem of the call rather than of a record."""
    packed = request.packed
    number = len(request.records) + len(packed.id)
    if number > MAX_RECORDS:
        raise InvalidFieldError([f"records: {number} items; accepted: at most {MAX_RECORDS:,}"])
    if len(request.source) > 128:
        raise InvalidFieldError(["source: accepted: at most 128 characters"])
    if request.HasField("packed"):
        uneven = [
            f"packed.{name}: {len(column)} values; accepted: {len(packed.id)}, one for each id, or none"
            for name in _PACKED_COLUMNS
            if len(column := getattr(packed, name)) not in {0, len(packed.id)}
        ]
        if not packed.id or len(packed.template) != len(packed.id):
            uneven.append("packed.template: accepted: one for each id, at least one")
        elif max(packed.template) >= len(packed.templates):
            uneven.append("packed.template: accepted: indices of packed.templates")
        if uneven:
            raise InvalidFieldError(uneven)


def sort_out(request: ledger.AppendRequest) -> CheckedBatch:
    """Sorts the records of a call that has some. Raises InvalidFieldError if packed ones cannot be read."""
    try:
        found, formats = records.received(request)
    except DecodeError:
        raise InvalidFieldError(["packed.templates: accepted: encoded usage records"]) from None
    number = len(found["id"])
    suspect: Iterable[int] = range(number)
    if formats == {FORMAT} and _are_ordinary(found):
        suspect = [index for index, each in enumerate(found["failed_attempts"]) if each]
    messages = records.messages(request) if suspect else []
    refused = {}
    for index in suspect:
        for field, reason in _problems(messages[index]):
            refused[index] = RecordRefusal(messages[index], field, reason)
            break
    if not refused:
        return CheckedBatch(found, [])
    good = [index for index in range(number) if index not in refused]
    return CheckedBatch(records.chosen(found, good) if good else {}, list(refused.values()))


def _are_ordinary(of: Columns) -> bool:
    """Returns whether everything is within bounds, as in nearly every batch; failed attempts are not examined."""
    return bool(
        all(all(of[name]) for name in _REQUIRED)
        and all(
            max(map(len, of[name])) <= most and "\x00" not in "".join(of[name])
            for name, most in _TEXTS.items()
            if any(of[name])
        )
        and all(max(of[name]) <= largest for name, largest in _NUMBERS.items() if any(of[name]))
        and min(of["started_at_us"]) > 0
        and max(of["started_at_us"]) <= _LAST_US
    )


def _problems(record: ledger.UsageRecord) -> Iterator[tuple[str, str]]:
    """Yields fields and what is wrong with each."""
    if record.format != FORMAT:
        yield "format", f"{record.format} is not known; accepted: {FORMAT}"
    for name in _REQUIRED:
        if not getattr(record, name):
            yield name, "missing"
    for name, most in _TEXTS.items():
        text = getattr(record, name)
        if len(text) > most or "\x00" in text:
            yield name, f"accepted: at most {most} characters, none of them NUL"
    for name, largest in _NUMBERS.items():
        value = getattr(record, name)
        if value > largest:
            yield name, f"{value} is out of range; accepted: at most {largest:,}"
    for name in ("cost_micro_usd", "earned_micro_usd"):
        # Set alone by an older translator.
        value = getattr(record, name)
        if value * MICRO > _MAX + MICRO:
            yield name, f"{value} is out of range; accepted: at most {_MAX // MICRO:,}"
    if not 0 < record.started_at_us <= _LAST_US:
        yield "started_at_us", "accepted: Unix microseconds, from 1 to the end of the year 9999"
    yield from _attempts(record)


def _attempts(record: ledger.UsageRecord) -> Iterator[tuple[str, str]]:
    if len(record.failed_attempts) > _MAX_FAILED:
        yield "failed_attempts", f"{len(record.failed_attempts)} items; accepted: at most {_MAX_FAILED}"
    for each in record.failed_attempts:
        if len(each.target_id) > 512 or len(each.reason) > 512 or "\x00" in each.target_id + each.reason:
            yield "failed_attempts", "accepted: target_id and reason of at most 512 characters, none of them NUL"
        if each.status > 999:
            yield "failed_attempts", f"status {each.status} is out of range; accepted: at most 999"
        if each.duration_us > _MAX:
            yield (
                "failed_attempts",
                f"duration_us {each.duration_us} is out of range; accepted: at most {_MAX:,}",
            )
        if each.credential_index > _MAX_CREDENTIALS:
            shown = f"credential_index {each.credential_index}"
            yield "failed_attempts", f"{shown} is out of range; accepted: at most {_MAX_CREDENTIALS}"
