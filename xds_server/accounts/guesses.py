"""How long one waits after wrong passwords, for an account and from an address. Rules without a clock.

Every attempt counts before it is checked, so that many at once are no way around; a right password takes the
account's attempts back. What is counted by is a digest: people type passwords where their address belongs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

#: Seconds without an attempt after which nothing is held against anybody.
FORGOTTEN_AFTER = 3_600


@dataclass(frozen=True, slots=True)
class Bound:
    """`free` attempts, then `first` seconds, twice as many, … between them, at most `longest`."""

    free: int
    first: int
    longest: int

    def wait(self, attempts: int) -> int:
        """Seconds from the last of so many attempts to the next one."""
        beyond = attempts - self.free
        return 0 if beyond < 0 else min(self.first * 2 ** min(beyond, 30), self.longest)


#: An account: a thousand guesses take ten days. An address may be a whole office behind one router.
ACCOUNT, ADDRESS = Bound(free=5, first=5, longest=900), Bound(free=30, first=2, longest=60)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Of one subject; `last_at` is Unix seconds."""

    count: int = 0
    last_at: int = 0

    def remaining(self, bound: Bound, now: int) -> int:
        """Seconds until the next attempt; 0: now."""
        return max(0, self.last_at + bound.wait(self.current(now)) - now)

    def current(self, now: int) -> int:
        """How many count at `now`."""
        return 0 if now - self.last_at >= FORGOTTEN_AFTER else self.count


def account(email: str) -> str:
    """The subject of an account, there or not."""
    return _subject("account", email)


def address(peer: str) -> str:
    """The subject of a client's address."""
    return _subject("address", peer)


def _subject(kind: str, value: str) -> str:
    return f"{kind}:{hashlib.sha256(value.encode()).hexdigest()}"
