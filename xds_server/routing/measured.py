"""Computes measurements of routes' targets and of their credentials from slots."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xds_server.routing.slots import SLOT_SECONDS, RouteCredential, RouteTarget, Slot
from xds_server.routing.window import KEPT_SLOTS, UNKNOWN, Median, TokenCounts, median_now, token_share

#: Pairs of a route and a target that are remembered. Those that were used longest ago are forgotten first.
MAX_SERVED = 20_000
#: Credentials of one target that are measured separately; those with a higher index count only for the target.
MAX_CREDENTIALS = 32
#: Half-life of a failure, in seconds.
_FAILURE_HALF_LIFE = 15.0
#: Half-life of tokens, in seconds: what a route is used for changes slowly.
_MIX_HALF_LIFE = 300.0
#: This many failures without a served request after them mean that a target fails.
ENOUGH_FAILURES = 3
#: Seconds for which a failing target gets no requests. After that, a small share finds out whether it serves.
DOWN_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements of one target of one route, or of one of its credentials. Times are in microseconds; rates
    are shares of the attempts, 0 to 1.

    `cached_share` is the share of the prompt tokens that was read from the target's cache, None without prompt
    tokens, and `cached_error` its standard error. `failures_in_a_row` counts the failures of requests that began
    after the last served one. `is_failing`: there are several of these. `is_down`: in addition, one of them began
    within the last DOWN_SECONDS.
    """

    first_us: Median = UNKNOWN
    token_us: Median = UNKNOWN
    whole_us: Median = UNKNOWN
    attempts: int = 0
    error_rate: float = 0.0
    limit_rate: float = 0.0
    cached_share: float | None = None
    cached_error: float = 0.0
    failures_in_a_row: int = 0
    is_failing: bool = False
    is_down: bool = False


@dataclass(frozen=True, slots=True)
class RequestMix:
    """The route's typical request, as means; shares are 0 to 1. Without any requests, a short chat is assumed."""

    prompt_tokens: float = 1_000.0
    completion_tokens: float = 250.0
    cached_share: float = 0.0
    stream_share: float = 1.0

    @classmethod
    def of(
        cls, prompt: float, cached: float, completion: float, *, reported: float, streams: float, served: float
    ) -> RequestMix:
        """Computes the mix from sums: tokens of the `reported` answers, and `streams` of the `served` ones."""
        if not reported:
            return cls(stream_share=streams / served) if served else cls()
        cached_share = min(1.0, cached / prompt) if prompt else 0.0
        return cls(prompt / reported, completion / reported, cached_share, streams / served)


@dataclass(slots=True)
class _History:
    """Slots by number, oldest first."""

    slots: deque[tuple[int, Slot]] = field(default_factory=deque)

    def add(self, number: int, slot: Slot) -> None:
        """Adds to the slot `number`. Slots may arrive late and in parts."""
        later: list[tuple[int, Slot]] = []
        while self.slots and self.slots[-1][0] > number:
            later.append(self.slots.pop())
        if self.slots and self.slots[-1][0] == number:
            self.slots[-1][1].add(slot)
        else:
            own = Slot()
            own.add(slot)
            self.slots.append((number, own))
        self.slots.extend(reversed(later))

    def forget(self, before: int) -> None:
        while self.slots and self.slots[0][0] < before:
            self.slots.popleft()

    def copy(self) -> _History:
        found = _History()
        for number, slot in self.slots:
            found.add(number, slot)
        return found


@dataclass(slots=True)
class _Target:
    """The history of a target, and of its credentials by index; without the latter, only the first credential was
    used.
    """

    history: _History = field(default_factory=_History)
    credentials: dict[int, _History] = field(default_factory=dict)

    def add(self, number: int, slot: Slot, credential_index: int) -> None:
        if credential_index and not self.credentials:
            self.credentials[0] = self.history.copy()
        if self.credentials and credential_index < MAX_CREDENTIALS:
            self.credentials.setdefault(credential_index, _History()).add(number, slot)
        self.history.add(number, slot)

    def forget(self, before: int) -> None:
        self.history.forget(before)
        for index, history in list(self.credentials.items()):
            history.forget(before)
            if not history.slots:
                del self.credentials[index]
        if self.credentials.keys() == {0}:
            self.credentials.clear()


class Measurements:
    """The slots of the last KEPT_SLOTS, of at most MAX_SERVED pairs of a route and a target."""

    def __init__(self) -> None:
        self._targets: dict[RouteTarget, _Target] = {}

    def add(self, number: int, slots: Mapping[RouteCredential, Slot]) -> None:
        """Adds what happened in slot `number`, or a part of it."""
        for asked, slot in slots.items():
            target = self._targets.pop(asked.served, None) or _Target()
            self._targets[asked.served] = target  # moves the target to the end: used last
            target.add(number, slot, asked.credential_index)
        while len(self._targets) > MAX_SERVED:
            del self._targets[next(iter(self._targets))]

    def forget(self, now: int) -> None:
        """Drops slots that are too old in slot `now`."""
        for served, target in list(self._targets.items()):
            target.forget(now - KEPT_SLOTS)
            if not target.history.slots:
                del self._targets[served]

    def of(self, served: RouteTarget, now: int) -> Measured:
        """Returns the measurements of a target in slot `now`, over all its credentials."""
        target = self._targets.get(served)
        return _measured(target.history, now) if target is not None else Measured()

    def credentials(self, served: RouteTarget, now: int) -> Mapping[int, Measured]:
        """Returns the measurements of a target's credentials by index, without those that were not used."""
        target = self._targets.get(served)
        if target is None:
            return {}
        histories = target.credentials or {0: target.history}
        return {index: _measured(history, now) for index, history in histories.items()}

    def mix(self, route_id: str, target_ids: Iterable[str], now: int) -> RequestMix:
        """Returns the route's typical request in slot `now`."""
        prompt = cached = completion = reported = streams = served = 0.0
        for target_id in target_ids:
            target = self._targets.get(RouteTarget(route_id, target_id))
            for number, slot in target.history.slots if target is not None else ():
                if now - KEPT_SLOTS < number <= now:
                    weight = _decayed(now - number, _MIX_HALF_LIFE)
                    prompt += weight * slot.prompt_tokens
                    cached += weight * slot.cached_tokens
                    completion += weight * slot.completion_tokens
                    reported += weight * slot.reported
                    streams += weight * slot.streams
                    served += weight * slot.served
        return RequestMix.of(prompt, cached, completion, reported=reported, streams=streams, served=served)


def _measured(history: _History, now: int) -> Measured:
    recent = [(now - number, slot) for number, slot in history.slots if now - KEPT_SLOTS < number <= now]
    failures = _failures_in_a_row(recent)
    is_failing = failures.total() >= ENOUGH_FAILURES
    cached = token_share(
        TokenCounts(slot.reported, slot.prompt_tokens, slot.cached_tokens) for _, slot in reversed(recent)
    )
    return Measured(
        first_us=median_now(_by_age(recent, "first_us")),
        token_us=median_now(_by_age(recent, "token_us")),
        whole_us=median_now(_by_age(recent, "whole_us")),
        attempts=sum(slot.served + slot.failed + slot.limited for _, slot in recent),
        error_rate=_rate(recent, "failed"),
        limit_rate=_rate(recent, "limited"),
        cached_share=cached.value if cached is not None else None,
        cached_error=cached.error if cached is not None else 0.0,
        failures_in_a_row=failures.total(),
        is_failing=is_failing,
        is_down=is_failing and now - max(failures) <= DOWN_SECONDS // SLOT_SECONDS,
    )


def _decayed(slots: int, half_life: float) -> float:
    """Returns the weight that a slot of this age still has."""
    return math.pow(0.5, slots * SLOT_SECONDS / half_life)


def _by_age(recent: list[tuple[int, Slot]], name: str) -> list[Mapping[int, int]]:
    """Returns one histogram for each age in slots, youngest first; an age without a slot has an empty one."""
    histories: list[Mapping[int, int]] = [{}] * (recent[0][0] + 1) if recent else []
    for age, slot in recent:
        histories[age] = getattr(slot, name)
    return histories


def _rate(recent: list[tuple[int, Slot]], name: str) -> float:
    """Returns the decayed share of attempts with this outcome, as if one attempt had succeeded before all
    others.
    """
    counted = 0.0
    attempts = 1.0
    for age, slot in recent:
        weight = _decayed(age, _FAILURE_HALF_LIFE)
        counted += weight * getattr(slot, name)
        attempts += weight * (slot.served + slot.failed + slot.limited)
    return counted / attempts


def _failures_in_a_row(recent: list[tuple[int, Slot]]) -> Counter[int]:
    """Counts the failures of requests that began after the last served one, by the slots in which they began.

    Their ends do not matter: a long answer that ends now says nothing about what would begin now.
    """
    served_from = max((slot.served_from for _, slot in recent), default=0)
    failures = Counter[int]()
    for _, slot in recent:
        failures.update({begun: count for begun, count in slot.failed_from.items() if begun > served_from})
    return failures
