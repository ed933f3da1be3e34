"""Usage records as they arrive and as they are stored: a batch as columns, one request as a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import add, attrgetter
from typing import Any, NamedTuple, TypeAlias

from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

FORMAT = 1
HOUR_US = 3_600_000_000

#: Nano-USD per micro-USD.
MICRO = 1_000
#: Characters to which the client's texts are cut: a refused record would be a request that nobody pays for.
_CLIENT_TEXT = 256
#: Envoy's flags of an answer that the upstream or a time limit broke off after the status was sent. `DC` is not
#: among them: a client that disconnects is no error of the target's.
_BROKEN = frozenset({"UC", "UT", "UR", "LR", "SI", "UPE", "UMSDR", "DT", "OM", "DPE"})


class Row(NamedTuple):
    """The record of one request. `failed_attempts` has the target, status, reason, credential's index and
    microseconds of each attempt before the last one.
    """

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
    failed_attempts: Sequence[tuple[str, int, str, int, int]]
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
    saved_nano_usd: int
    credential_index: int
    cancelled: bool
    target_status: int


def _default(name: str) -> Any:
    """Returns the default of a record's field. Raises TypeError for a field that the message does not have."""
    field = ledger.UsageRecord.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise TypeError(f"Row has the field {name}, but UsageRecord of ledger.proto lacks it")
    return field.default_value


#: The empty value of each of Row's fields.
EMPTY: Mapping[str, Any] = {name: _default(name) for name in Row._fields}

#: The values of several requests by the names of Row's fields, in one order. Nearly all work is done on columns:
#: on a whole column it costs a tenth of what it costs record by record.
Columns: TypeAlias = dict[str, Sequence[Any]]

#: Fields that are unset according to `UsageRecord.plain`.
_SELDOM = tuple(
    each.name for each in ledger.UsageRecord.DESCRIPTOR.fields if each.number >= 35 and each.name != "plain"
)
_USUAL = tuple(name for name in Row._fields if name not in _SELDOM)

#: The fields that are columns of PackedRecords. The others come from templates.
_PACKED = frozenset(ledger.PackedRecords.DESCRIPTOR.fields_by_name) & frozenset(Row._fields)

_usual_of, _seldom_of, _is_plain = attrgetter(*_USUAL), attrgetter(*_SELDOM), attrgetter("plain")
_format_of = attrgetter("format")


def columns(messages: Sequence[ledger.UsageRecord]) -> Columns:
    """Returns the columns of at least one message, unchecked."""
    # Each field of a message is read once, all in one call, because reading is what is slow.
    found: Columns = dict(zip(_USUAL, zip(*map(_usual_of, messages), strict=True), strict=True))
    if all(map(_is_plain, messages)):
        found |= {name: (EMPTY[name],) * len(messages) for name in _SELDOM}
    else:
        found |= zip(_SELDOM, zip(*map(_seldom_of, messages), strict=True), strict=True)
    _as_nano_usd(messages, found)
    for name in ("end_user", "tag"):
        if any(found[name]):
            found[name] = list(map(_fitted, found[name]))
    attempts = found["failed_attempts"]
    found["failed_attempts"] = (
        [_plain(each) if each else () for each in attempts] if any(attempts) else [()] * len(attempts)
    )
    return found


class Received(NamedTuple):
    """The records of a call: first those sent as messages, then the packed ones. `formats` are those that
    occur.
    """

    columns: Columns
    formats: set[int]


def received(request: ledger.AppendRequest) -> Received:
    """Returns at least one record, unchecked. Raises DecodeError for a template that is no record."""
    formats = set(map(_format_of, request.records))
    if not request.HasField("packed"):
        return Received(columns(request.records), formats)
    templates = _templates(request.packed)
    formats.update(map(_format_of, templates))
    packed = _unpacked(request.packed, templates)
    if not request.records:
        return Received(packed, formats)
    merged: Columns = {name: [*column, *packed[name]] for name, column in columns(request.records).items()}
    return Received(merged, formats)


def messages(request: ledger.AppendRequest) -> list[ledger.UsageRecord]:
    """Returns a call's records as messages, in the order of `received`. Raises DecodeError."""
    packed, found = request.packed, list(request.records)
    templates = _templates(packed)
    filled = {name: column for name in _PACKED if (column := getattr(packed, name))}
    for index, which in enumerate(packed.template):
        made = ledger.UsageRecord()
        made.CopyFrom(templates[which])
        for name, column in filled.items():
            setattr(made, name, column[index])
        found.append(made)
    return found


def _templates(packed: ledger.PackedRecords) -> list[ledger.UsageRecord]:
    return list(map(ledger.UsageRecord.FromString, packed.templates))


def _unpacked(packed: ledger.PackedRecords, templates: Sequence[ledger.UsageRecord]) -> Columns:
    """Returns the columns of at least one packed record."""
    number, which, shared = len(packed.id), packed.template, columns(templates)
    found: Columns = {}
    for name in Row._fields:
        if name in _PACKED:
            found[name] = list(getattr(packed, name)) or [EMPTY[name]] * number
        elif len(templates) == 1 or not any(shared[name]):
            found[name] = [shared[name][0]] * number
        else:
            values = shared[name]
            found[name] = [values[index] for index in which]
    return found


def chosen(of: Columns, indices: Sequence[int]) -> Columns:
    """Returns the columns with only these indices."""
    return {name: [column[index] for index in indices] for name, column in of.items()}


def tokens(of: Columns) -> list[int]:
    """Returns the prompt and completion tokens of each request."""
    return list(map(add, of["prompt_tokens"], of["completion_tokens"]))


def rows(of: Columns) -> list[Row]:
    """Returns the requests one by one."""
    return list(map(Row._make, zip(*map(of.__getitem__, Row._fields), strict=True)))


def record(row: Row) -> ledger.UsageRecord:
    """Returns the record as it arrived, with its money in micro-USD too."""
    fields = row._asdict()
    for name in ("cost", "earned"):
        fields[f"{name}_micro_usd"] = micro_usd(fields[f"{name}_nano_usd"])
    fields["failed_attempts"] = [
        ledger.FailedAttempt(
            target_id=target, status=status, reason=reason, credential_index=credential, duration_us=us
        )
        for target, status, reason, credential, us in row.failed_attempts
    ]
    return ledger.UsageRecord(format=FORMAT, **fields)


def is_broken(flags: str) -> bool:
    """Returns whether Envoy's flags say that the answer broke off, other than by a client that disconnected."""
    return not _BROKEN.isdisjoint(flags.split(","))


def micro_usd(nano: int) -> int:
    """Converts to micro-USD, rounded half up."""
    return (2 * nano + MICRO) // (2 * MICRO)


def _as_nano_usd(records: Sequence[ledger.UsageRecord], of: Columns) -> None:
    """Converts the amounts that an older translator has sent only in micro-USD."""
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


def _fitted(text: str) -> str:
    return text[:_CLIENT_TEXT].replace("\x00", "\ufffd")


def _plain(attempts: Sequence[ledger.FailedAttempt]) -> list[tuple[str, int, str, int, int]]:
    return [
        (each.target_id, each.status, each.reason, each.credential_index, each.duration_us) for each in attempts
    ]
