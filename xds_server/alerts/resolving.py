"""Resolves names for the webhook, without the addresses that it must not reach.

A module of its own because aiohttp takes long to load.
"""

from __future__ import annotations

import socket
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from xds_server.alerts import addresses


def guarded(*, local: bool) -> AbstractResolver:
    """Returns a resolver. `local`: the name means this machine."""
    return _Guarded(local=local)


class _Guarded(AbstractResolver):
    """Returns only checked addresses, and connections go to exactly these: no second lookup happens in between."""

    def __init__(self, *, local: bool) -> None:
        self._local = local
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [each for each in found if not addresses.is_forbidden(each["host"], local=self._local)]
        if not allowed:
            raise OSError(None, "the name resolves to an address that may not be a webhook")
        return allowed

    async def close(self, *_: Any) -> None:
        await self._inner.close()
