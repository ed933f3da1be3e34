"""What targets did for a route's requests, credential by credential, in slots of a few seconds.

Slots add up in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from xds_server.ledger import histogram
from xds_server.ledger.records import Columns
from xds_server.ledger.rollup import is_broken

#: Seconds of one slot.
SLOT_SECONDS = 2

#: A stream that ended before its second token says nothing about speed.
_FEWEST_TOKENS = 2
_READ = (
    "route_id", "target_id", "started_at_us", "status", "response_flags", "stream", "cache_hit", "expired",
    "estimated", "first_byte_us", "duration_us", "prompt_tokens", "cached_tokens", "completion_tokens",
    "failed_attempts", "credential_index", "cancelled",
)  # fmt: skip


class Served(NamedTuple):
    """A route's target, by their ids."""

    route_id: str
    target_id: str


class Asked(NamedTuple):
    """A route's target, and the index of the credential that it was asked with; 0 for machines: they have none."""

    served: Served
    credential_index: int = 0


@dataclass(slots=True)
class Slot:
    """Counts, sums and histograms of one target of one route. The histograms are of microseconds.

    `first_us`: a stream's request to its first byte. `token_us`: a stream's time per completion token after that.
    `whole_us`: a plain request to the end of its answer. `reported` counts the answers whose tokens the target
    reported itself; only these count in the three sums of tokens. `served_from` is the slot in which the latest
    request began that was served, and `failed_from` has how many began in each slot that failed.
    """

    served: int = 0
    failed: int = 0
    limited: int = 0
    streams: int = 0
    reported: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    served_from: int = 0
    failed_from: dict[int, int] = field(default_factory=dict)
    first_us: dict[int, int] = field(default_factory=dict)
    token_us: dict[int, int] = field(default_factory=dict)
    whole_us: dict[int, int] = field(default_factory=dict)

    def add(self, other: Slot) -> None:
        """Adds what another slot counted."""
        self.served += other.served
        self.failed += other.failed
        self.limited += other.limited
        self.streams += other.streams
        self.reported += other.reported
        self.prompt_tokens += other.prompt_tokens
        self.cached_tokens += other.cached_tokens
        self.completion_tokens += other.completion_tokens
        self.served_from = max(self.served_from, other.served_from)
        for mine, others in (
            (self.failed_from, other.failed_from),
            (self.first_us, other.first_us),
            (self.token_us, other.token_us),
            (self.whole_us, other.whole_us),
        ):
            histogram.add(mine, others.items())


def slot_of(at: float) -> int:
    """The number of the slot that a moment (Unix seconds) falls into."""
    return int(at // SLOT_SECONDS)


def summarise(batch: Columns) -> dict[Asked, Slot]:
    """What a batch of usage records says about each target and credential that was tried.

    Answers from the gateway's cache, reservations that expired and requests that an operator ended say nothing. A
    failure counts only where another target or credential served the same request: what fails everywhere may be
    the request's own fault, and must not turn others' traffic away from a target. A 429 counts as limited, any
    other failure as failed. An answer that its target broke off is a failure.
    """
    found: dict[Asked, Slot] = {}
    for request in _requests(batch):
        if request.cache_hit or request.expired or request.cancelled:
            continue
        if not request.target_id or request.status >= 300:
            continue
        answered = Asked(Served(request.route_id, request.target_id), request.credential_index)
        for target_id, status, _, credential, _ in request.failed_attempts:
            failed = Asked(Served(request.route_id, target_id), credential)
            if failed != answered:
                _count_failure(found.setdefault(failed, Slot()), status, request)
        slot = found.setdefault(answered, Slot())
        if is_broken(request.response_flags):
            _count_failure(slot, request.status, request)
        else:
            _count_answer(slot, request)
    return found


class _Request(NamedTuple):
    """The fields of _READ."""

    route_id: str
    target_id: str
    started_at_us: int
    status: int
    response_flags: str
    stream: bool
    cache_hit: bool
    expired: bool
    estimated: bool
    first_byte_us: int
    duration_us: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    failed_attempts: Iterable[tuple[str, int, str, int, int]]
    credential_index: int
    cancelled: bool


def _requests(batch: Columns) -> Iterator[_Request]:
    return map(_Request._make, zip(*(batch[name] for name in _READ), strict=True))


def _count_failure(slot: Slot, status: int, request: _Request) -> None:
    if status == 429:
        slot.limited += 1
    else:
        slot.failed += 1
        begun = slot_of(request.started_at_us / 1e6)
        slot.failed_from[begun] = slot.failed_from.get(begun, 0) + 1


def _count_answer(slot: Slot, request: _Request) -> None:
    slot.served += 1
    slot.served_from = max(slot.served_from, slot_of(request.started_at_us / 1e6))
    if not request.estimated:
        slot.reported += 1
        slot.prompt_tokens += request.prompt_tokens
        slot.cached_tokens += request.cached_tokens
        slot.completion_tokens += request.completion_tokens
    if not request.stream:
        _count_time(slot.whole_us, request.duration_us)
        return
    slot.streams += 1
    _count_time(slot.first_us, request.first_byte_us)
    if request.completion_tokens >= _FEWEST_TOKENS and request.duration_us > request.first_byte_us:
        _count_time(slot.token_us, (request.duration_us - request.first_byte_us) // request.completion_tokens)


def _count_time(counts: dict[int, int], microseconds: int) -> None:
    if microseconds > 0:
        histogram.add(counts, [(histogram.bucket(microseconds), 1)])
