"""Keeps the keys of token issuers up to date: reads them where they are published, stores them, publishes them.

Translators verify tokens with these keys and need no network of their own. Keys stay if they cannot be read again.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from xds_server.accounts.errors import ProviderError
from xds_server.accounts.oidc import asking
from xds_server.accounts.settings import JwtIssuer
from xds_server.errors import DatabaseUnavailableError
from xds_server.model import Gateway
from xds_server.reasons import Reason
from xds_server.store import AsyncStore, writing
from xds_server.tokens import key_set
from xds_server.troubles import Troubles

#: Seconds between two readings; between two if a translator asks for one or the first failed; and between two
#: checks of the configuration.
_FRESH, _AGAIN, _LOOK = 600.0, 10.0, 1.0

_log = structlog.get_logger(__name__)


class Publisher(Protocol):
    """Knows the published configuration, and publishes what the store holds."""

    def gateway(self) -> Gateway:
        """Returns the gateway's settings as they are published."""

    async def state_changed(self, revision: int) -> None:
        """Publishes the store's state, which is at `revision` or later."""


@dataclass
class _Reading:
    """The last reading of an issuer's keys. `at` is seconds of the clock."""

    at: float
    failed: bool = False
    wanted: bool = False


class IssuerKeys:
    """Reads keys. `clock` gives seconds that never go back."""

    def __init__(
        self,
        store: AsyncStore,
        publisher: Publisher,
        troubles: Troubles,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._troubles = troubles
        self._clock = clock
        self._readings: dict[tuple[str, str, str], _Reading] = {}
        self._wanted = asyncio.Event()

    def want(self, names: Collection[str]) -> None:
        """Requests that the keys of these issuers are read again, ten seconds after the last reading at the
        earliest.
        """
        for (name, _, _), reading in self._readings.items():
            if name in names:
                reading.wanted = True
        self._wanted.set()

    def state_changed(self) -> None:
        """Records that other issuers may be published."""
        self._wanted.set()

    async def run(self) -> None:
        """Reads keys that are due, until cancelled. Call `state_changed` whenever issuers change."""
        while True:
            self._wanted.clear()
            await self.read_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK if self._publisher.gateway().jwt else None):
                    await self._wanted.wait()

    async def read_due(self) -> None:
        """Reads the keys of every issuer that is due."""
        issuers = {_source(each): each for each in self._publisher.gateway().jwt}
        for source in self._readings.keys() - issuers.keys():
            del self._readings[source]
            self._troubles.set(_part(source[0]))
        due = [each for source, each in issuers.items() if self._is_due(source)]
        await asyncio.gather(*map(self._read, due))

    def _is_due(self, source: tuple[str, str, str]) -> bool:
        reading = self._readings.get(source)
        if reading is None:
            return True
        return self._clock() - reading.at >= (_AGAIN if reading.failed or reading.wanted else _FRESH)

    async def _read(self, issuer: JwtIssuer) -> None:
        reading = self._readings[_source(issuer)] = _Reading(self._clock())
        part = _part(issuer.name)
        try:
            await asyncio.to_thread(importlib.import_module, "aiohttp")  # some tenths of a second
            url = issuer.jwks_url or await _discovered(issuer)
            said = await asking.ask("GET", url)
            keys = await asyncio.to_thread(key_set.reduced, said, asking.shown(url))
            committed = await self._store.write(
                f"jwt:{issuer.name}", lambda tx: writing.gateway.renew_keys(tx, issuer, keys)
            )
        except (ProviderError, DatabaseUnavailableError) as error:
            reading.failed = True
            self._troubles.set(part, Reason.of("trouble.issuer_keys", issuer.name, error))
            return
        self._troubles.set(part)
        if committed.value:
            _log.info("jwt.keys_changed", issuer=issuer.name, revision=committed.revision)
            await self._publisher.state_changed(committed.revision)


async def _discovered(issuer: JwtIssuer) -> str:
    """Returns the address of the keys from the issuer's metadata (OpenID Connect Discovery 1.0). Raises
    ProviderError.
    """
    said = await asking.ask("GET", f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration")
    shown = asking.shown(issuer.issuer)
    if said.get("issuer") != issuer.issuer:
        raise ProviderError(f"the metadata of {shown} are those of another issuer: compare `issuer`")
    url = said.get("jwks_uri")
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or not parts.hostname or parts.scheme not in {"https", urlsplit(issuer.issuer).scheme}:
        raise ProviderError(f"the metadata of {shown} have no usable jwks_uri: give `jwks_url`")
    return str(url)


def _source(issuer: JwtIssuer) -> tuple[str, str, str]:
    return issuer.name, issuer.issuer, issuer.jwks_url


_part = partial("jwt {}".format)
