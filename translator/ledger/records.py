"""Usage records, from a line of the log or from a reservation that never had one."""

from __future__ import annotations

from functools import lru_cache

import msgspec
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from translator import bounds, money
from translator.ledger.lines import CANCELLED, RequestLine, attempted, decoded, number
from translator.ledger.prices import PriceBook
from translator.ledger.usage import NOTHING, Tokens, used
from translator.limits import Reservation

RECORD_FORMAT = 1


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


def record(line: RequestLine, reservation: Reservation, billed: Bill) -> ledger.UsageRecord:
    tokens = billed.tokens
    made = ledger.UsageRecord.FromString(
        _common(
            reservation.organisation,
            reservation.key,
            reservation.route,
            reservation.model,
            line.target,
            line.attempts,
            line.status,
            billed.price_version,
        )
    )
    made.id = reservation.id
    started = round(reservation.at * 1e6)
    made.started_at_us = started if 0 < started <= bounds.LAST_US else _started(reservation)
    if reservation.stream or reservation.user or reservation.tag:
        _add_words(made, reservation)
    made.request_bytes = line.bytes_in
    made.response_bytes = line.bytes_out
    made.first_byte_us = line.first_byte_us
    made.duration_us = line.duration_ms * 1000
    made.cost_nano_usd, made.cost_micro_usd = billed.cost, money.micro_usd(billed.cost)
    # Rare fields are set only if present: setting a field costs as much as parsing a part of the line's JSON.
    if line.upstream_id:
        made.upstream_request_id = line.upstream_id[: bounds.UPSTREAM_ID]
    if tokens.cached:
        made.cached_tokens = tokens.cached
    if tokens.reasoning:
        made.reasoning_tokens = tokens.reasoning
    if tokens.estimated:
        made.estimated = True
        made.prompt_tokens, made.completion_tokens = bounds.count(tokens.prompt), bounds.count(tokens.completion)
    else:
        made.prompt_tokens, made.completion_tokens = tokens.prompt, tokens.completion
    made.plain = not _add_seldom(made, tokens, reservation, line)
    if line.flags:
        made.response_flags = line.flags
    if line.failed:
        made.failed_attempts.extend(failed_before(line))
    if line.node:
        made.node_id, earned = _earned(line.node, tokens)
        made.earned_nano_usd, made.earned_micro_usd = earned, money.micro_usd(earned)
    return made


def _add_seldom(made: ledger.UsageRecord, tokens: Tokens, reservation: Reservation, line: RequestLine) -> bool:
    """Sets the fields whose absence `UsageRecord.plain` declares. Returns whether there are any."""
    found = False
    if line.credential_index:
        made.credential_index = line.credential_index
        found = True
    if line.failed and line.cancelled:
        made.cancelled = found = True
    if tokens.capped:
        made.capped = found = True
        # If a target's report is incomplete, a claim contains an estimate.
        made.claimed_prompt_tokens = bounds.count(tokens.claimed_prompt)
        made.claimed_completion_tokens = bounds.count(tokens.claimed_completion)
    if tokens.cache_write or tokens.cache_write_1h:
        found = True
        made.cache_write_tokens, made.cache_write_1h_tokens = tokens.cache_write, tokens.cache_write_1h
    if tokens.audio_input or tokens.audio_output:
        found = True
        made.audio_prompt_tokens, made.audio_completion_tokens = tokens.audio_input, tokens.audio_output
    if tokens.tier:
        found = True
        made.service_tier = bounds.text(tokens.tier, bounds.TIER)
    if reservation.saved >= 0:
        made.cache_hit, made.saved_nano_usd = True, reservation.saved
        found = True
    if reservation.units:
        found = True
        made.images, made.characters, made.search_units = tokens.images, tokens.characters, tokens.search_units
        made.audio_in_ms, made.audio_out_ms = tokens.audio_in_ms, tokens.audio_out_ms
    return found


def expired(reservation: Reservation) -> ledger.UsageRecord:
    """Returns the record of a reservation without a line: the reserved amounts count as used, by an unknown
    target.
    """
    reservation = bounds.bounded(reservation)
    made = _record_at_start(reservation)
    made.prompt_tokens = reservation.prompt
    made.completion_tokens = bounds.count(reservation.tokens - reservation.prompt)
    made.cost_nano_usd, made.cost_micro_usd = reservation.cost, money.micro_usd(reservation.cost)
    made.estimated = made.expired = made.plain = True
    return made


def failed_before(line: RequestLine) -> list[ledger.FailedAttempt]:
    """Returns the attempts before the last one, which Envoy's module writes as `<target>=<status>:<ms>`; status 0:
    none.
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
    # The line itself describes the last attempt.
    return found[: max(0, line.attempts - 1)]


def _record_at_start(reservation: Reservation) -> ledger.UsageRecord:
    """Returns a record with what is known when a request begins."""
    made = ledger.UsageRecord(
        id=reservation.id,
        format=RECORD_FORMAT,
        started_at_us=_started(reservation),
        organisation_id=reservation.organisation,
        key_id=reservation.key,
        route_id=reservation.route,
        model=reservation.model,
    )
    _add_words(made, reservation)
    return made


@lru_cache(maxsize=4_096)
def _common(  # noqa: PLR0917 - the key of a cache
    organisation: str, key: str, route: str, model: str, target: str, attempts: int, status: int, version: int
) -> bytes:
    """Returns the encoded fields that the record shares with many others. Decoding them takes protobuf a fraction
    of the time of setting them.
    """
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
    ).SerializeToString()


def _started(reservation: Reservation) -> int:
    """Returns microseconds since 1970, within a record's bounds."""
    started = round(reservation.at * 1e6)
    if 0 < started <= bounds.LAST_US:
        return started
    return 1 if started <= 0 else bounds.LAST_US


def _add_words(made: ledger.UsageRecord, reservation: Reservation) -> None:
    if reservation.stream:
        made.stream = True
    if reservation.user:
        made.end_user = decoded(reservation.user)
    if reservation.tag:
        made.tag = decoded(reservation.tag)


def _earned(node: str, tokens: Tokens) -> tuple[str, int]:
    """Returns the node's id and what it earns by its owner's price: nano-USD, rounded half up, at most
    `money.MAX`.
    """
    node_id, _, prices = node.partition(" ")
    by_prompt, _, by_completion = prices.partition(" ")
    thousandths = tokens.prompt * (number(by_prompt) or 0) + tokens.completion * (number(by_completion) or 0)
    return bounds.text(node_id, bounds.ID), min(money.nano_usd(thousandths), money.MAX)
