"""A simple model of `envoy/module/rest.h`."""

from __future__ import annotations

from dataclasses import dataclass

ENOUGH, FIRST, LONGEST, AGAIN = 3, 5_000, 60_000, 1_000
RECOVERY, PROBE, PARTS, FIRST_PARTS = 5_000, 10_000, 64, 4
OPEN, TRICKLES, RESTS, PAUSED = range(4)
UNKNOWN, CALLER, ALL = "unknown", "caller", "all"


#: How much two callers have in common.
USER, KEY, ORGANISATION, STRANGERS = range(4)
#: Key and user. Keys from 100 on belong to organisations of a hundred, others to one each.
Caller = tuple[int, int]


def common(one: Caller, other: Caller) -> int:
    """Returns the narrowest group that both belong to."""
    if one[0] == other[0]:
        return USER if one[1] == other[1] else KEY
    return ORGANISATION if min(one[0], other[0]) >= 100 and one[0] // 100 == other[0] // 100 else STRANGERS


@dataclass
class Rest:
    """The rest of one host. Times are milliseconds; 0 is never."""

    confirmed: int = 0
    unreachable: int = 0
    rests: int = 0
    until: int = 0
    asked: int = 0
    paused: int = 0
    caller: Caller = (0, 0)
    breadth: int = USER
    pauses: int = 0
    reach: str = UNKNOWN
    serves_others: bool = False
    stated: bool = False
    probed: int = 0
    recovers: int = 0

    def refused(self, caller: Caller) -> bool:
        return common(caller, self.caller) <= self.breadth

    def _rest(self, now: int) -> None:
        if now >= self.until:
            self.rests += 1
            self.until = now + min(FIRST * self.rests, LONGEST)
            self.recovers = self.probed = 0

    def confirm(self, now: int) -> None:
        self.confirmed += 1
        if self.confirmed >= ENOUGH:
            self._rest(now)

    def miss(self, now: int) -> None:
        self.unreachable += 1
        if self.unreachable >= ENOUGH:
            self._rest(now)

    def recover(self, now: int) -> None:
        self.recovers = self.recovers or now
        self.until = self.paused = self.probed = 0

    def answer(self, now: int) -> None:
        away = self.unreachable >= ENOUGH and not self.confirmed
        self.unreachable = 0
        if away and now >= self.paused:
            self.recover(now)

    def serve(self, caller: Caller, now: int, *, probe: bool) -> None:
        self.confirmed = self.unreachable = 0
        if now < self.paused:
            if not self.refused(caller):
                self.serves_others = True
            if probe:
                self.probed = 0
                if not self.refused(caller) and self.reach == UNKNOWN:
                    self.reach = CALLER
            self.rests = self.until = 0
        elif self.rests or (self.paused and self.reach != CALLER):
            self.recover(now)
        elif self.refused(caller):
            self.paused = 0

    def pause(self, caller: Caller, now: int, *, for_all: bool, stated: bool, ms: int, most: int) -> bool:
        runs = now < self.paused
        known = runs and self.refused(caller)
        confirms = runs and not known and self.reach == UNKNOWN
        both = common(caller, self.caller)
        replaces = runs and not known and self.reach == CALLER and self.serves_others and both != STRANGERS
        begins = not runs or (not known and self.reach == CALLER and not replaces)
        self.pauses += begins
        if for_all or (self.paused and self.reach == ALL) or (confirms and both == STRANGERS):
            self.reach = ALL
        elif not known:
            self.reach, self.breadth = CALLER if replaces else UNKNOWN, both if confirms else USER
        self.serves_others = False
        self.caller, self.stated = caller, stated or (runs and self.stated)
        self.paused = max(self.paused if runs else 0, now + min(ms * 2 ** max(0, self.pauses - 1), most))
        self.recovers = self.probed = 0
        return begins or (confirms and self.reach == ALL)

    def state(self, caller: Caller, random: int, now: int) -> int:
        trickle = RESTS if now < self.probed else TRICKLES
        concerned = self.paused > 0 and (self.reach != CALLER or self.refused(caller))
        runs = now < self.paused and concerned
        if runs and (self.reach == ALL or self.refused(caller)):
            return PAUSED if self.stated else RESTS
        if now < self.until:
            return RESTS
        if runs:
            return trickle
        if self.recovers:
            parts = FIRST_PARTS + PARTS * (now - self.recovers) // RECOVERY
            return OPEN if (random >> 32) % PARTS < parts else RESTS
        return trickle if self.rests or concerned else OPEN

    def over(self, now: int) -> bool:
        if self.confirmed or self.unreachable or now < max(self.paused, self.until):
            return False
        if self.recovers:
            return now - self.recovers >= RECOVERY
        return not self.rests and not (self.paused and self.reach != CALLER)
