"""Usage records: from a line of the log, or from a reservation that never had one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from translator.ledger.lines import RequestLine, decoded, number, text
from translator.ledger.prices import PriceBook
from translator.ledger.usage import NOTHING, Tokens, used
from translator.limits import Reservation

RECORD_FORMAT = 1
#: What the translator answers itself (models) is no use of a model.
TRANSLATOR_ROUTE = "translator"


@dataclass(frozen=True, slots=True)
class Bill:
    """Tokens and micro-USD of one request; `price_version` is 0 where no price is known."""

    tokens: Tokens
    cost: int
    price_version: int


def bill(line: RequestLine, prices: PriceBook) -> Bill:
    """The price is that of the target that answered, when the request began."""
    tokens = used(line)
    price = prices.at(line.route, line.target, line.start_us // 1_000_000) if line.target else None
    if price is None:
        return Bill(tokens, 0, 0)
    # What failed costs nothing, its price per request included.
    return Bill(tokens, 0 if tokens is NOTHING else price.cost(tokens), price.version)


def is_recorded(line: RequestLine) -> bool:
    """Lines of requests that were refused before anyone knew whose they were are no usage of anybody."""
    return bool(line.id and line.organisation) and line.route != TRANSLATOR_ROUTE


def record(line: RequestLine, billed: Bill, failed: Iterable[ledger.FailedAttempt]) -> ledger.UsageRecord:
    get = line.fields.get
    tokens = billed.tokens
    duration = number(get("duration_us"))
    return ledger.UsageRecord(
        id=line.id,
        format=RECORD_FORMAT,
        started_at_us=line.start_us,
        organisation_id=line.organisation,
        key_id=line.key,
        route_id=line.route,
        model=decoded(get("model")),
        target_id=line.target,
        attempts=min(number(get("attempts")) or 0, 0xFFFFFFFF),
        status=line.status,
        response_flags=line.flags,
        request_bytes=number(get("bytes_in")) or 0,
        response_bytes=line.bytes_out,
        first_byte_us=number(get("first_byte_us")) or 0,
        duration_us=(number(get("duration_ms")) or 0) * 1000 if duration is None else duration,
        prompt_tokens=tokens.prompt,
        cached_tokens=tokens.cached,
        completion_tokens=tokens.completion,
        reasoning_tokens=tokens.reasoning,
        cost_micro_usd=billed.cost,
        estimated=tokens.estimated,
        end_user=decoded(get("user")),
        tag=decoded(get("tag")),
        provider=line.target.partition("/")[0],
        node_id=text(get("node")),
        price_version=billed.price_version,
        failed_attempts=[*failed, *failed_before(line)],
        stream=line.stream,
    )


def failed_before(line: RequestLine) -> list[ledger.FailedAttempt]:
    """The attempts before the last one, from what Envoy noted: all targets tried, and how some of them refused."""
    tried = text(line.fields.get("tried")).split()
    refusals = [each.rpartition("=") for each in text(line.fields.get("refused")).split()]
    statuses: dict[str, list[int]] = {}
    for target, _, status in refusals:
        statuses.setdefault(target, []).append(number(status) or 0)
    return [_failed(target, statuses) for target in tried[:-1]]


def _failed(target: str, statuses: dict[str, list[int]]) -> ledger.FailedAttempt:
    answered = statuses.get(target)
    status = answered.pop(0) if answered else 0
    reason = "refused" if status else "no answer"
    return ledger.FailedAttempt(target_id=unquote(target), status=status, reason=reason)


def reservation(fields: Sequence[Any]) -> Reservation:
    """From its fields as JSON values. Raises ValueError or TypeError."""
    *rest, limits = fields
    return Reservation._make((*rest, tuple(limits)))


def expired(reservation: Reservation) -> ledger.UsageRecord:
    """Of a reservation without a line: what was reserved counts as used, of nobody knows which target."""
    return ledger.UsageRecord(
        id=reservation.id,
        format=RECORD_FORMAT,
        started_at_us=round(reservation.at * 1e6),
        organisation_id=reservation.organisation,
        key_id=reservation.key,
        route_id=reservation.route,
        model=reservation.model,
        prompt_tokens=reservation.prompt,
        completion_tokens=max(0, reservation.tokens - reservation.prompt),
        cost_micro_usd=reservation.cost,
        estimated=True,
        expired=True,
        stream=reservation.stream,
        end_user=decoded(reservation.user),
        tag=decoded(reservation.tag),
    )
