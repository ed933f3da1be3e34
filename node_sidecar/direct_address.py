"""The address at which the gateway reaches a direct node. The node resolves a name, because gateways accept only
addresses.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from structlog.typing import FilteringBoundLogger

#: Seconds between two attempts, and between two lookups of a resolved name, whose address may change.
_RETRY, _AGAIN = 2.0, 60.0
_LOOKUP_TIMEOUT = 10.0

#: Returns the addresses of a name. Raises OSError.
Lookup = Callable[[str], Awaitable[Sequence[str]]]


async def lookup(name: str) -> Sequence[str]:
    """Returns the addresses to which this machine resolves `name`. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class DirectAddress:
    """`direct` is host:port, or empty for tunnels. `changed` is called when the address changes."""

    def __init__(self, direct: str, log: FilteringBoundLogger, find: Lookup = lookup) -> None:
        host, _, self._port = direct.rpartition(":")
        self._name = "" if is_address(host.strip("[]")) else host
        self._log = log
        self._find = find
        #: IP address and port, IPv6 in brackets; empty for tunnels, and until the name has been resolved once.
        self.address = "" if self._name else direct
        #: Why the name cannot be resolved; empty if it is resolved.
        self.problem = ""
        self.changed: Callable[[], None] = lambda: None
        self.known = asyncio.Event()
        if not self._name:
            self.known.set()

    async def follow(self) -> NoReturn:
        """Resolves the name periodically until it is cancelled."""
        while True:
            if not self._name:
                await asyncio.Event().wait()
            await self._resolve()
            await asyncio.sleep(_AGAIN if self.known.is_set() and not self.problem else _RETRY)

    async def _resolve(self) -> None:
        try:
            async with asyncio.timeout(_LOOKUP_TIMEOUT):
                found = await self._find(self._name)
        except (OSError, UnicodeError) as error:
            self._failed(str(error) or "no answer in time")
            return
        usable = sorted((each for each in found if is_address(each)), key=lambda each: ":" in each)
        if not usable:
            self._failed("it has no address that others can reach")
            return
        self.problem = ""
        # Keeps the current address if it is still among them; else prefers IPv4, because not every gateway has
        # IPv6.
        addresses = [f"[{each}]:{self._port}" if ":" in each else f"{each}:{self._port}" for each in usable]
        if self.address not in addresses:
            self.address = addresses[0]
            self._log.info("direct address", name=self._name, address=self.address)
            if ipaddress.ip_address(usable[0]).is_loopback:
                self._log.warning("the name means this machine itself: gateways elsewhere cannot reach it")
            self.changed()
        self.known.set()

    def _failed(self, reason: str) -> None:
        """Logs a problem once; the last resolved address stays in force."""
        problem = f"direct: the name {self._name} cannot be resolved: {reason}"
        if problem != self.problem:
            self._log.warning("the direct address cannot be resolved", name=self._name, reason=reason)
        self.problem = problem


def is_address(text: str) -> bool:
    """Returns whether `text` is an IP address that others can use: without a zone, and of a single machine."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text and not address.is_unspecified and not address.is_multicast
