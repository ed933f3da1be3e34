"""Drains an Envoy: it accepts no new connection, running requests may finish, and the rest is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from trunkline.supervisor.envoy_admin import EnvoyAdmin

_POLL_SECONDS = 0.1
_ACTIVE = "/stats?filter=^http\\.openai\\.downstream_rq_active$"


async def drain(
    envoy: EnvoyAdmin,
    seconds: float,
    hurry: asyncio.Event,
    notice: Callable[[str], None],
    *,
    clients_only: bool = True,
) -> None:
    """Makes Envoy accept no new client, and returns once no request runs, after `seconds`, or on `hurry`.

    Envoy closes each connection after its current answer. With `clients_only`, operators can still watch the
    drain. An Envoy that does not answer has nothing left to wait for.
    """
    which = "inboundonly&" if clients_only else ""
    with suppress(OSError):
        await envoy.post(f"/drain_listeners?{which}graceful&skip_exit")
        await envoy.post(f"/drain_listeners?{which}")
        running = await _active(envoy)
        if running:
            notice(f"{_requests(running)} may run for {seconds:g} s more (again: at once)")
        deadline = asyncio.get_running_loop().time() + seconds
        while running and not hurry.is_set() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
            running = await _active(envoy)
        if running:
            notice(f"{_requests(running)} cut off")


def _requests(number: int) -> str:
    return "1 request" if number == 1 else f"{number} requests"


async def _active(envoy: EnvoyAdmin) -> int:
    """Returns the number of running requests of clients."""
    _, _, value = (await envoy.get(_ACTIVE)).partition(": ")
    return int(value) if value.strip().isdigit() else 0
