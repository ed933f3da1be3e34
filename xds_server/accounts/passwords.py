"""Checks and hashes passwords with argon2id, a few at a time because each takes 64 MiB and some 50 ms of CPU."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from xds_server.accounts.errors import TooManyGuessesError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

T = TypeVar("T")

MIN_LENGTH, MAX_LENGTH = 12, 1_024
RULE = f"{MIN_LENGTH} to {MAX_LENGTH:,} characters, other than the e-mail address"
#: The hash of a password that nobody knows, so that verifying takes the same time if there is no account.
_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$0cJlDLVEKDGcoCFGqBb9Zw$/k+AZJMIJwrJ9dSJeftcsAKHhUowLGzN/3yUhssV6sI"
_AT_A_TIME, _MAX_WAITING = 2, 32


def is_accepted(password: str, email: str) -> bool:
    """Returns whether RULE accepts a new password."""
    return MIN_LENGTH <= len(password) <= MAX_LENGTH and password.strip().lower() != email


class Passwords:
    """Hashes and verifies passwords in threads."""

    def __init__(self) -> None:
        self._running = asyncio.Semaphore(_AT_A_TIME)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Returns argon2id's encoded hash. Raises TooManyGuessesError if too many calls wait already."""
        return await self._in_turn(_hash, password)

    async def matches(self, password: str, hash_: str) -> bool:
        """Returns whether the password matches `hash_`. An empty hash, of an account without a password or of no
        account, takes as long.

        Raises TooManyGuessesError if too many calls wait already.
        """
        return await self._in_turn(_verify, password, hash_ or _NOBODYS) and bool(hash_)

    async def _in_turn(self, work: Callable[..., T], *arguments: str) -> T:
        if self._waiting >= _MAX_WAITING:
            raise TooManyGuessesError(1)
        self._waiting += 1
        try:
            async with self._running:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self._waiting -= 1


def _hash(password: str) -> str:
    return _hasher().hash(_normal(password))


def _verify(password: str, hash_: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

    try:
        return _hasher().verify(hash_, _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def _normal(password: str) -> str:
    """Normalises a password: another system may type the same characters as other code points (NIST SP 800-63B,
    5.1.1.2).
    """
    return unicodedata.normalize("NFKC", password[:MAX_LENGTH])


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # noqa: PLC0415  # only where passwords are used

    return PasswordHasher()
