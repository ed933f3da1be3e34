"""Lists a request's attempts in order, each with its outcome, and what the request would have cost elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from trunkline_proto.admin.v1 import admin_pb2 as pb

from xds_server.model import Route
from xds_server.prices import price_in_force
from xds_server.reasons import Reason
from xds_server.routing.pricing import RequestUsage, Tariff
from xds_server.usage.records import Row

#: Reasons by the status of the target's answer, if they are the same whether the attempt moved on or ended there.
_REASONS = {
    HTTPStatus.UNAUTHORIZED: "attempt.credential",
    498: "attempt.credential",
    HTTPStatus.PAYMENT_REQUIRED: "attempt.unpaid",
    HTTPStatus.FORBIDDEN: "attempt.forbidden",
    HTTPStatus.TOO_MANY_REQUESTS: "attempt.limited",
}
_TOO_LONG = frozenset({400, 413, 414, 431})
#: Statuses below 500 by which a target says that it failed, or could serve the request later.
_BROKEN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.MISDIRECTED_REQUEST, HTTPStatus.TOO_EARLY})
#: Envoy's response flags that say how a request ended, with the error code that they mean to an operator.
_FLAGS = {
    "DC": "attempt.left",
    "UT": "attempt.timeout",
    "SI": "attempt.silent",
    "UC": "attempt.ended",
    "UR": "attempt.reset",
    "UF": "attempt.unreachable",
    "UH": "attempt.unhealthy",
}


def of_finished(row: Row) -> Iterator[pb.RequestAttempt]:
    """Yields the attempts before the last one, as Envoy's module recorded them; then the last one, from the usage
    record.
    """
    left = row.duration_us
    for target, status, _, index, us in row.failed_attempts:
        left -= us
        outcome = _why_it_moved_on(status)
        yield pb.RequestAttempt(
            target_id=target,
            credential=_credential(target, index),
            status=status,
            outcome=outcome,
            duration_us=us,
            outcome_code=outcome.coded,
        )
    if row.target_id:
        outcome = _how_it_ended(row)
        yield pb.RequestAttempt(
            target_id=row.target_id,
            credential=_credential(row.target_id, row.credential_index),
            status=row.target_status or row.status,
            outcome=outcome,
            duration_us=max(0, left),
            outcome_code=outcome.coded,
        )


def costs(row: Row, route: Route | None) -> Iterator[pb.RequestCost]:
    """Yields what a request was billed, and what it would have cost at each other target.

    Prices are those in force when the request began. Nothing of its prompt is assumed to be in another target's
    cache.
    """
    if not row.prompt_tokens and not row.completion_tokens and not row.cost_nano_usd:
        return
    if row.target_id:
        yield pb.RequestCost(
            target_id=row.target_id, cost_nano_usd=row.cost_nano_usd, price_version=row.price_version, served=True
        )
    used = _used_elsewhere(row)
    for target in route.targets if route is not None else ():
        price = price_in_force(target.prices, row.started_at_us / 1e6)
        if target.id == row.target_id:
            continue
        cost = round(Tariff(price).nano_usd(used)) if price is not None else 0
        yield pb.RequestCost(
            target_id=target.id, cost_nano_usd=cost, price_version=price.version if price is not None else 0
        )


def _used_elsewhere(row: Row) -> RequestUsage:
    return RequestUsage(
        prompt=row.prompt_tokens,
        completion=row.completion_tokens,
        reasoning=row.reasoning_tokens,
        audio_prompt=row.audio_prompt_tokens,
        audio_completion=row.audio_completion_tokens,
        images=row.images,
        audio_in_ms=row.audio_in_ms,
        audio_out_ms=row.audio_out_ms,
        characters=row.characters,
        search_units=row.search_units,
    )


def of_running(running: pb.RunningRequest) -> Iterator[pb.RequestAttempt]:
    """Yields the attempt in progress."""
    if running.target_id:
        outcome = Reason.of("attempt.running")
        yield pb.RequestAttempt(target_id=running.target_id, outcome=outcome, outcome_code=outcome.coded)


def _credential(target_id: str, index: int) -> int:
    """Returns a credential's number, from 1; 0 for machines, which have no credentials."""
    return 0 if target_id.startswith("nodes/") else index + 1


def _why_it_moved_on(status: int) -> Reason:
    """Returns why the gateway did not give the target's answer to the client (docs/failover.md)."""
    if not status:
        return Reason.of("attempt.no_answer")
    if status == HTTPStatus.NOT_FOUND:
        return Reason.of("attempt.unknown_model")
    if status in _TOO_LONG:
        return Reason.of("attempt.too_long", status)
    if status < HTTPStatus.BAD_REQUEST:
        return Reason.of("attempt.improper")
    return _of_status(status)


def _of_status(status: int) -> Reason:
    if status in _REASONS:
        return Reason.of(_REASONS[status], status)
    is_broken = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _BROKEN
    return Reason.of("attempt.broken" if is_broken else "attempt.rejected", status)


def _how_it_ended(row: Row) -> Reason:
    if row.cancelled:
        return Reason.of("attempt.cancelled")
    if row.expired:
        return Reason.of("attempt.unknown")
    for flag in row.response_flags.split(","):
        if flag in _FLAGS:
            return Reason.of(_FLAGS[flag])
    if row.target_status:  # the client got another status
        return _why_it_moved_on(row.target_status)
    if not row.status:
        return Reason.of("attempt.failed")
    return Reason.of("attempt.answered") if row.status < HTTPStatus.BAD_REQUEST else _of_status(row.status)
