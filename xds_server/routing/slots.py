"""Counts how targets handled a route's requests, credential by credential, in slots of a few seconds.

Slots can be added in any order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, NamedTuple

from xds_server.usage import histogram
from xds_server.usage.records import Columns, is_broken

#: Seconds of one slot.
SLOT_SECONDS = 2

#: A stream that ended before its second token says nothing about speed.
_MIN_TOKENS = 2
#: The columns that are read of each record: whose it is, its figures, and values that most records lack.
_WHOSE = ("route_id", "target_id", "credential_index", "stream")
_FIGURES = (
    "started_at_us", "first_byte_us", "duration_us", "prompt_tokens", "cached_tokens", "completion_tokens",
    "estimated",
)  # fmt: skip
_SELDOM = ("failed_attempts", "response_flags", "cache_hit", "expired", "cancelled")
_READ = (*_WHOSE, "status", *_FIGURES, *_SELDOM)


class RouteTarget(NamedTuple):
    """A route and one of its targets, by their ids."""

    route_id: str
    target_id: str


class RouteCredential(NamedTuple):
    """A route's target, and the index of the credential that was used; 0 for machines, which have no
    credentials.
    """

    served: RouteTarget
    credential_index: int = 0


@dataclass(slots=True)
class Slot:
    """Counts, sums and histograms of one target of one route. The histograms are of microseconds.

    `first_us`: a stream's request to its first byte. `token_us`: a stream's time per completion token after that.
    `whole_us`: a plain request to the end of its answer. `reported` counts the answers whose tokens the target
    itself reported; only these count in the three sums of tokens. `served_from` is the slot in which the latest
    served request began. `failed_from` has the number of failed requests by the slot in which they began.
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
        """Adds the counts of another slot."""
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
    """Returns the number of the slot at a time (Unix seconds)."""
    return int(at // SLOT_SECONDS)


def sample(batch: Columns, most: int) -> Columns:
    """Returns the columns that `summarise` reads: of all records of a batch, or of at most `most` of them."""
    step = -(-len(batch["id"]) // most)
    return {name: batch[name][::step] for name in _READ}


def summarise(batch: Columns) -> dict[RouteCredential, Slot]:
    """Summarises what a batch of usage records says about each target and credential that was tried.

    Answers from the gateway's cache, reservations that expired and requests that an operator ended do not count. A
    failure counts only if another target or credential served the same request: what fails everywhere may be the
    request's own fault, and must not turn others' traffic away from a target. A 429 counts as limited, any other
    failure as failed. An answer that its target broke off is a failure.
    """
    found: dict[RouteCredential, Slot] = {}
    # Answers of one target are counted together: counting them one by one takes six times as long.
    answers: defaultdict[tuple[str, str, int, bool], list[tuple[Any, ...]]] = defaultdict(list)
    for whose, status, figures, seldom in zip(
        zip(*(batch[name] for name in _WHOSE), strict=True),
        batch["status"],
        zip(*(batch[name] for name in _FIGURES), strict=True),
        zip(*(batch[name] for name in _SELDOM), strict=True),
        strict=True,
    ):
        if status < 300 and whose[1] and (not any(seldom) or _is_answer(found, whose, status, figures[0], seldom)):
            answers[whose].append(figures)
    for (route_id, target_id, credential, is_stream), several in answers.items():
        slot = found.setdefault(RouteCredential(RouteTarget(route_id, target_id), credential), Slot())
        _count_answers(slot, dict(zip(_FIGURES, zip(*several, strict=True), strict=True)), is_stream=is_stream)
    return found


def _is_answer(
    found: dict[RouteCredential, Slot],
    whose: tuple[str, str, int, bool],
    status: int,
    started_at_us: int,
    seldom: tuple[Sequence[tuple[str, int, str, int, int]], str, bool, bool, bool],
) -> bool:
    """Counts the failed attempts of a request that was served; returns whether its answer counts as one."""
    failed_attempts, flags, cache_hit, expired, cancelled = seldom
    if cache_hit or expired or cancelled:
        return False
    route_id, target_id, credential, _ = whose
    answered = RouteCredential(RouteTarget(route_id, target_id), credential)
    for failing, its_status, _, its_credential, _ in failed_attempts:
        failed = RouteCredential(RouteTarget(route_id, failing), its_credential)
        if failed != answered:
            _count_failure(found.setdefault(failed, Slot()), its_status, started_at_us)
    if is_broken(flags):
        _count_failure(found.setdefault(answered, Slot()), status, started_at_us)
        return False
    return True


def _count_failure(slot: Slot, status: int, started_at_us: int) -> None:
    if status == 429:
        slot.limited += 1
    else:
        slot.failed += 1
        begun = slot_of(started_at_us / 1e6)
        slot.failed_from[begun] = slot.failed_from.get(begun, 0) + 1


def _count_answers(slot: Slot, figures: Columns, *, is_stream: bool) -> None:
    """Counts answers of one target, which are either all streams or all plain."""
    slot.served += len(figures["estimated"])
    slot.served_from = max(slot.served_from, slot_of(max(figures["started_at_us"]) / 1e6))
    reported = [not each for each in figures["estimated"]]
    slot.reported += sum(reported)
    slot.prompt_tokens += sum(compress(figures["prompt_tokens"], reported))
    slot.cached_tokens += sum(compress(figures["cached_tokens"], reported))
    slot.completion_tokens += sum(compress(figures["completion_tokens"], reported))
    if not is_stream:
        _count_times(slot.whole_us, figures["duration_us"])
        return
    slot.streams += len(reported)
    _count_times(slot.first_us, figures["first_byte_us"])
    timed = zip(figures["first_byte_us"], figures["duration_us"], figures["completion_tokens"], strict=True)
    per_token = [
        (duration - first_byte) // tokens
        for first_byte, duration, tokens in timed
        if tokens >= _MIN_TOKENS and duration > first_byte
    ]
    _count_times(slot.token_us, per_token)


def _count_times(counts: dict[int, int], microseconds: Iterable[int]) -> None:
    histogram.add(counts, histogram.count(microseconds).items())
