"""Paces work that goes through a whole ledger in the background, one short transaction after another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import structlog

from xds_server.errors import DatabaseUnavailableError

#: Pause after each transaction, as a multiple of its duration, in which others can write.
_PAUSE = 0.5
T = TypeVar("T")

_log = structlog.get_logger(__name__)


async def every(seconds: float, catch_up: Callable[[], Awaitable[object]], waits: str) -> None:
    """Runs `catch_up` at an interval until cancelled. Logs `waits` while the database is unavailable."""
    while True:
        try:
            await catch_up()
        except DatabaseUnavailableError as error:
            _log.warning(waits, reason=str(error))
        await asyncio.sleep(seconds)


async def steps(advance: Callable[[], Awaitable[T | None]]) -> AsyncIterator[T]:
    """Yields what each transaction reached, with a pause after each, until one returns None."""
    while True:
        began = time.monotonic()
        reached = await advance()
        if reached is None:
            return
        yield reached
        await asyncio.sleep(_PAUSE * (time.monotonic() - began))
