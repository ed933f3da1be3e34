"""Usage records as rows, which are sent as columns: a third of the cost of a message for each.

A row has the fields that differ from request to request. The others are its template, which many rows share and
which is sent once for all of them. A rare record that has more fields than these is a message of its own
(`records`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from translator import bounds, money
from translator.ledger.lines import RequestLine, decoded, number
from translator.ledger.usage import Tokens
from translator.limits import Reservation

RECORD_FORMAT = 1

#: The columns of PackedRecords after `template`, in the order of a row.
COLUMNS = (
    "id",
    "started_at_us",
    "request_bytes",
    "response_bytes",
    "first_byte_us",
    "duration_us",
    "prompt_tokens",
    "completion_tokens",
    "cost_nano_usd",
    "cached_tokens",
    "reasoning_tokens",
    "earned_nano_usd",
    "saved_nano_usd",
    "upstream_request_id",
)
#: The encoded template, then the values of COLUMNS. A plain tuple: a named one takes twice as long to make.
Row: TypeAlias = tuple[bytes, str, int, int, int, int, int, int, int, int, int, int, int, int, str]


def row(line: RequestLine, reservation: Reservation, tokens: Tokens, cost: int, price_version: int) -> Row:
    """Returns the row of a request: all fields of its record that a row and a template can have."""
    prompt, completion, saved, earned, node = tokens.prompt, tokens.completion, reservation.saved, 0, ""
    if line.node:
        node, earned = _earned(line.node, tokens)
    if tokens.estimated:
        prompt, completion = bounds.count(prompt), bounds.count(completion)
    template = _template(
        reservation.organisation,
        reservation.key,
        reservation.route,
        reservation.model,
        line.target,
        line.attempts,
        line.status,
        price_version,
    )
    if (
        reservation.stream
        or tokens.estimated
        or reservation.user
        or reservation.tag
        or line.flags
        or node
        or saved >= 0
        or line.credential_index
        or tokens.tier
    ):
        template = _extended(
            template,
            reservation.stream,
            tokens.estimated,
            reservation.user,
            reservation.tag,
            line.flags,
            node,
            saved >= 0,
            line.credential_index,
            tokens.tier,
        )
    return (
        template,
        reservation.id,
        started_at_us(reservation),
        line.bytes_in,
        line.bytes_out,
        line.first_byte_us,
        line.duration_ms * 1000,
        prompt,
        completion,
        cost,
        tokens.cached,
        tokens.reasoning,
        earned,
        max(saved, 0),
        line.upstream_id[: bounds.UPSTREAM_ID],
    )


def message(of: Row) -> ledger.UsageRecord:
    """Returns the row as a message, with its money in micro-USD too."""
    made = ledger.UsageRecord.FromString(of[0])
    for name, value in zip(COLUMNS, of[1:], strict=True):
        if value:
            setattr(made, name, value)
    made.cost_micro_usd, made.earned_micro_usd = (
        money.micro_usd(made.cost_nano_usd),
        money.micro_usd(made.earned_nano_usd),
    )
    return made


def as_message(record: Row | ledger.UsageRecord) -> ledger.UsageRecord:
    """Returns the record as a message."""
    return message(record) if isinstance(record, tuple) else record


def record_id(record: Row | ledger.UsageRecord) -> str:
    """Returns the id of a record in either form; it is the id of its request."""
    return record[1] if isinstance(record, tuple) else record.id


def packed(rows: Sequence[Row]) -> ledger.PackedRecords:
    """Returns at least one row as columns."""
    templates, *columns = zip(*rows, strict=True)
    numbers: dict[bytes, int] = {}
    which = [numbers.setdefault(each, len(numbers)) for each in templates]
    made = ledger.PackedRecords(templates=numbers, template=which)
    for name, column in zip(COLUMNS, columns, strict=True):
        if any(column):
            getattr(made, name).extend(column)
    return made


def started_at_us(reservation: Reservation) -> int:
    """Returns microseconds since 1970, within a record's bounds."""
    return min(max(1, round(reservation.at * 1e6)), bounds.LAST_US)


@lru_cache(maxsize=4_096)
def _template(  # noqa: PLR0917 - the key of a cache
    organisation: str, key: str, route: str, model: str, target: str, attempts: int, status: int, version: int
) -> bytes:
    return ledger.UsageRecord(
        format=RECORD_FORMAT,
        organisation_id=organisation,
        key_id=key,
        route_id=route,
        model=model,
        target_id=target,
        provider=target.partition("/")[0][: bounds.ID],
        attempts=attempts,
        status=status,
        price_version=version,
        plain=True,
    ).SerializeToString()


@lru_cache(maxsize=4_096)
def _extended(  # noqa: PLR0917 - the key of a cache
    template: bytes,
    stream: bool,
    estimated: bool,
    user: str,
    tag: str,
    flags: str,
    node: str,
    hit: bool,
    credential_index: int,
    tier: str,
) -> bytes:
    """Returns a template with further fields, which most records do not have."""
    made = ledger.UsageRecord.FromString(template)
    made.plain = not (hit or credential_index or tier)
    made.MergeFrom(
        ledger.UsageRecord(
            stream=stream,
            estimated=estimated,
            end_user=decoded(user),
            tag=decoded(tag),
            response_flags=flags,
            node_id=node,
            cache_hit=hit,
            credential_index=credential_index,
            service_tier=bounds.text(tier, bounds.TIER),
        )
    )
    return made.SerializeToString()


def _earned(node: str, tokens: Tokens) -> tuple[str, int]:
    """Returns the node's id and what it earns by its owner's price: nano-USD, rounded half up, at most
    `money.MAX`.
    """
    node_id, _, prices = node.partition(" ")
    by_prompt, _, by_completion = prices.partition(" ")
    thousandths = tokens.prompt * (number(by_prompt) or 0) + tokens.completion * (number(by_completion) or 0)
    return bounds.text(node_id, bounds.ID), min(money.nano_usd(thousandths), money.MAX)
