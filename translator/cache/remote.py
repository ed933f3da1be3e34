"""Cached answers in a Redis or Valkey that several gateways may share.

A request waits only briefly for the store, and the store is left alone for a moment after a failure. If it is away
or slow, nothing is cached, but no request fails or waits.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
from structlog.typing import FilteringBoundLogger

from translator import late_imports, money
from translator.cache.answers import LONGEST, CachedAnswer
from translator.cache.key import STREAM

if TYPE_CHECKING:
    import redis.asyncio

#: Seconds to wait for an answer of the store, and to leave it alone if none came.
_PATIENCE = 0.1
_REST = 1.0
#: As many as one process keeps busy.
_CONNECTIONS = 16
_PREFIX = b"trunkline:cache:1:"
_decode = msgspec.msgpack.Decoder(CachedAnswer).decode
#: Visible ASCII and spaces.
_CONTENT_TYPE = re.compile(r"[ -~]{0,256}").fullmatch
_encode = msgspec.msgpack.Encoder().encode


class RemoteStore:
    """The store at `address`, such as `redis://127.0.0.1:6379/0`. `patience` is in seconds."""

    def __init__(self, address: str, log: FilteringBoundLogger, patience: float = _PATIENCE) -> None:
        self._address = address.replace("valkey", "redis", 1) if address.startswith("valkey") else address
        self._log = log
        self._patience = patience
        self._client: redis.asyncio.Redis | None = None
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._resting_until = 0.0
        self._logged = False
        self.failures = 0

    async def get(self, key: bytes) -> CachedAnswer | None:
        """Returns the answer of a key; None also if the store does not answer."""
        found = await self._ask(lambda client: client.get(_PREFIX + key))
        if not isinstance(found, bytes):
            return None
        try:
            cached = _decode(found)
        except msgspec.MsgspecError:
            return None
        return cached if _is_sound(cached, key) and cached.until > time.time() else None

    async def put(self, key: bytes, route: str, cached: CachedAnswer, max_of_route: int = 0) -> None:
        """Stores an answer until it expires; the store bounds its memory itself."""
        del route, max_of_route
        left = max(1, int((cached.until - time.time()) * 1000))
        await self._ask(lambda client: client.set(_PREFIX + key, _encode(cached), px=left))

    async def close(self) -> None:
        """Closes the store's connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _ask(self, command: Callable[[redis.asyncio.Redis], Awaitable[object]]) -> object:
        if time.monotonic() < self._resting_until:
            return None
        is_asked = False
        try:
            client = self._client if self._client is not None else await self._connect()
            async with asyncio.timeout(self._patience), self._places:
                is_asked = True
                answer = await command(client)
        except Exception as error:  # noqa: BLE001 - any error is a cache miss
            if is_asked:  # otherwise, too many others were before it
                self._failed(error)
            return None
        self._logged = False
        return answer

    async def _connect(self) -> redis.asyncio.Redis:
        library = await late_imports.load("redis.asyncio")
        if self._client is None:
            self._client = library.Redis.from_url(self._address, max_connections=_CONNECTIONS)
        return self._client

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._resting_until = time.monotonic() + _REST
        if not self._logged:
            self._logged = True
            self._log.warning("the store of cached answers does not answer", reason=type(error).__name__)


def _is_sound(cached: CachedAnswer, key: bytes) -> bool:
    """Returns whether a translator may have stored the answer. Others may write to the store as well, and nothing
    there may harm Envoy's module, which reads the content type as a line of headers.
    """
    return (
        cached.streams == key.endswith(STREAM)
        and _CONTENT_TYPE(cached.content_type) is not None
        and len(cached.body) + len(cached.usage) <= LONGEST
        and 0 <= cached.saved <= money.MAX
    )
