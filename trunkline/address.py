"""`HOST:PORT` flags."""

from __future__ import annotations

import errno
import ipaddress
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from trunkline.errors import UsageError

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
#: Below the ports that systems assign to outgoing connections and to binds to port 0 (RFC 6335, section 6; Linux
#: begins at 32768). Several seconds pass from the claim until a child listens.
_QUIET_PORTS = range(20_000, 32_768)
_TRIES = 16


@dataclass(frozen=True, slots=True)
class Address:
    """A numeric address to listen on. `str()` gives HOST:PORT, with brackets around IPv6."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach the address."""
        return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback

    @property
    def local(self) -> Address:
        """The address at which this machine reaches it: a wildcard becomes loopback."""
        return Address(_WILDCARDS.get(self.host, self.host), self.port)


def parse(text: str, *, flag: str) -> Address:
    """Parses `HOST:PORT` with a name or a number. Names are resolved once, here. Port 0 is kept.

    Raises:
        UsageError: names `flag`.
    """
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise UsageError(f"{flag} {text}: expected HOST:PORT, for example 127.0.0.1:8080")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise UsageError(f"{flag} {text}: cannot resolve {host}: {error.strerror}") from error
    return Address(str(found[0][4][0]), int(port))


def _bind(probe: socket.socket, address: Address) -> None:
    """Binds a socket and, if its port was given, listens. Port 0 becomes a port that nobody else has bound."""
    if address.port:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address.host, address.port))
        probe.listen()
        return
    for _ in range(_TRIES):
        with suppress(OSError):
            probe.bind((address.host, secrets.choice(_QUIET_PORTS)))
            break
    else:
        probe.bind((address.host, 0))
    # Set after the bind: another program's claim fails, and a child, which sets it too, may listen (Linux).
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


@contextmanager
def claimed(address: Address, *, flag: str) -> Iterator[Address]:
    """Ensures that a child can listen at the address afterwards; port 0 becomes a free port, at which a child
    can listen on Linux within the block as well, and nobody else.

    This is checked here because Envoy listens with SO_REUSEPORT and would silently share a port with another
    Envoy.

    Raises:
        UsageError: names `flag`.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            _bind(probe, address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageError(
                    f"{address} is in use by another program: stop that one, or choose with {flag} HOST:PORT"
                ) from error
            raise UsageError(f"cannot listen on {address} ({flag}): {error.strerror}") from error
        yield Address(address.host, int(probe.getsockname()[1]))
