"""Computes the waiting time after wrong passwords, for an account and from an address. Rules without a clock.

Every attempt counts before it is checked, so that many simultaneous attempts do not get around the limit. A right
password takes the account's attempts back. Subjects are stored as digests, because people type passwords into the
address field.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass

#: Seconds without an attempt after which the earlier attempts no longer count.
FORGOTTEN_AFTER = 3_600


@dataclass(frozen=True, slots=True)
class AttemptBound:
    """`free` attempts, then a wait of `first` seconds, twice as many, … between attempts, at most `longest`."""

    free: int
    first: int
    longest: int

    def wait(self, attempts: int) -> int:
        """Returns the seconds from the last of this many attempts to the next one."""
        beyond = attempts - self.free
        return 0 if beyond < 0 else min(self.first * 2 ** min(beyond, 30), self.longest)


#: For an account, a thousand guesses take ten days. An address may be a whole office behind one router.
ACCOUNT, ADDRESS = AttemptBound(free=5, first=5, longest=900), AttemptBound(free=30, first=2, longest=60)


@dataclass(frozen=True, slots=True)
class SignInAttempts:
    """The attempts of one subject; `last_at` is Unix seconds."""

    count: int = 0
    last_at: int = 0

    def remaining(self, bound: AttemptBound, now: int) -> int:
        """Returns the seconds until the next attempt; 0: now."""
        return max(0, self.last_at + bound.wait(self.current(now)) - now)

    def current(self, now: int) -> int:
        """Returns how many attempts count at `now`."""
        return 0 if now - self.last_at >= FORGOTTEN_AFTER else self.count


def account(email: str) -> str:
    """Returns the subject of an account, whether it exists or not."""
    return _subject("account", email)


def address(peer: str) -> str:
    """Returns the subject of a client's address."""
    return _subject("address", network(peer))


def network(peer: str) -> str:
    """Returns what counts as one client: an IPv4 address, or the 64 bits of an IPv6 address that a provider gives
    to one customer, who may choose the others for every attempt.
    """
    try:
        found = ipaddress.ip_address(peer.strip("[]").partition("%")[0])
    except ValueError:
        return peer
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def _subject(kind: str, value: str) -> str:
    return f"{kind}:{hashlib.sha256(value.encode()).hexdigest()}"
