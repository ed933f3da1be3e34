"""Replaces one Envoy by another at the same addresses, without refusing a connection in between.

Both listen (SO_REUSEPORT) until the old one stops, and the kernel gives each new connection to one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from trunkline.supervisor.draining import drain
from trunkline.supervisor.envoy_admin import EnvoyAdmin
from trunkline.supervisor.services import Services

_POLL_SECONDS = 0.1


async def succeed_envoy(
    running: Services, path: Path, seconds: float, hurry: asyncio.Event, notice: Callable[[str], None]
) -> None:
    """Starts another Envoy, whose admin socket replaces the one at `path`, and drains the old one."""
    notice("Envoy has changed: a new one starts while the old one runs")
    async with EnvoyAdmin(path) as before:
        inode = _inode(path)
        done = await running.succeed(
            "envoy",
            _listening(path, inode),
            lambda: drain(before, seconds, hurry, notice, clients_only=False),
        )
    if not done:
        notice("the new Envoy ended before it listened; the old one keeps running")


async def _listening(path: Path, before: int) -> None:
    """Returns once an Envoy other than the one whose socket is the inode `before` serves clients."""
    while True:
        try:
            if _inode(path) != before:
                async with EnvoyAdmin(path) as admin:
                    await admin.get("/ready")
                    if "openai::" in await admin.get("/listeners"):
                        return
        except OSError:
            pass
        await asyncio.sleep(_POLL_SECONDS)


def _inode(path: Path) -> int:
    return path.stat().st_ino
