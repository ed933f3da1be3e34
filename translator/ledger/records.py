"""Usage records, from a line of the log or from a reservation that never had one."""

from __future__ import annotations

import msgspec
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from translator import bounds, money
from translator.ledger import rows
from translator.ledger.lines import CANCELLED, RequestLine, attempted, decoded, number
from translator.ledger.prices import PriceBook
from translator.ledger.rows import Row
from translator.ledger.usage import NOTHING, Tokens, used
from translator.limits import Reservation


class Bill(msgspec.Struct, frozen=True, gc=False):
    """Tokens and nano-USD of one request; `price_version` is 0 if no price is known."""

    tokens: Tokens
    cost: int
    price_version: int


def bill(line: RequestLine, reservation: Reservation, prices: PriceBook) -> Bill:
    """Returns the bill, by the price that the target which answered had when the request began."""
    tokens = used(line, reservation)
    price = prices.at(reservation.route, line.target, int(reservation.at)) if line.target else None
    if price is None:
        return Bill(tokens, 0, 0)
    if tokens is NOTHING:  # a failed request costs nothing, not even the price per request
        return Bill(tokens, 0, price.version)
    return Bill(tokens, price.cost(tokens) if reservation.units else price.cost_of_text(tokens), price.version)


def record(line: RequestLine, reservation: Reservation, billed: Bill) -> Row | ledger.UsageRecord:
    """Returns the record of a request: a row, or a message if it has fields that rows do not have."""
    tokens = billed.tokens
    row = rows.row(line, reservation, tokens, billed.cost, billed.price_version)
    if not (
        line.failed
        or tokens.capped
        or reservation.units
        or tokens.cache_write
        or tokens.cache_write_1h
        or tokens.audio_input
        or tokens.audio_output
    ):
        return row
    made = rows.message(row)
    _add_rare(made, tokens, reservation, line)
    return made


def _add_rare(made: ledger.UsageRecord, tokens: Tokens, reservation: Reservation, line: RequestLine) -> None:
    """Sets the fields that rows do not have, most of which `plain` declares unset."""
    made.plain = False
    if line.failed:
        failed = failed_attempts(line)
        made.failed_attempts.extend(failed[: max(0, line.attempts - 1)])
        last = failed[line.attempts - 1].status if 0 < line.attempts <= len(failed) else 0
        made.target_status = last if last != line.status else 0
        made.cancelled = line.cancelled
    if tokens.capped:
        made.capped = True
        # If a target's report is incomplete, a claim contains an estimate.
        made.claimed_prompt_tokens = bounds.count(tokens.claimed_prompt)
        made.claimed_completion_tokens = bounds.count(tokens.claimed_completion)
    made.cache_write_tokens, made.cache_write_1h_tokens = tokens.cache_write, tokens.cache_write_1h
    made.audio_prompt_tokens, made.audio_completion_tokens = tokens.audio_input, tokens.audio_output
    if reservation.units:
        made.images, made.characters, made.search_units = tokens.images, tokens.characters, tokens.search_units
        made.audio_in_ms, made.audio_out_ms = tokens.audio_in_ms, tokens.audio_out_ms


def expired(reservation: Reservation) -> ledger.UsageRecord:
    """Returns the record of a reservation without a line: the reserved amounts count as used, by an unknown
    target.
    """
    reservation = bounds.bounded(reservation)
    return ledger.UsageRecord(
        id=reservation.id,
        format=rows.RECORD_FORMAT,
        started_at_us=rows.started_at_us(reservation),
        organisation_id=reservation.organisation,
        key_id=reservation.key,
        route_id=reservation.route,
        model=reservation.model,
        stream=reservation.stream,
        end_user=decoded(reservation.user),
        tag=decoded(reservation.tag),
        prompt_tokens=reservation.prompt,
        completion_tokens=bounds.count(reservation.tokens - reservation.prompt),
        cost_nano_usd=reservation.cost,
        cost_micro_usd=money.micro_usd(reservation.cost),
        estimated=True,
        expired=True,
        plain=True,
    )


def failed_attempts(line: RequestLine) -> list[ledger.FailedAttempt]:
    """Returns the attempts that failed, which Envoy's module writes as `<target>=<status>:<ms>`; status 0: none.
    The line itself describes the last attempt, also if it is one of these.
    """
    found = []
    for each in line.failed.split(maxsplit=bounds.FAILED_ATTEMPTS)[: bounds.FAILED_ATTEMPTS]:
        if each == CANCELLED:
            continue
        place, _, text = each.rpartition("=")
        status_text, _, ms = text.partition(":")
        target_id, credential = attempted(place)
        status = bounds.count(number(status_text) or 0, bounds.STATUS)
        made = ledger.FailedAttempt(
            target_id=target_id,
            status=status,
            reason="refused" if status else "no answer",
            credential_index=credential,
            duration_us=bounds.count(number(ms) or 0, bounds.MILLISECONDS) * 1_000,
        )
        found.append(made)
    return found
