"""Parses the control plane's address in TRUNKLINE_CONTROL and credentials.json."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from trunkline.errors import UsageError

EXPECTED = "expected HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:PATH"
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+(%\w+)?\]")


@dataclass(frozen=True, slots=True)
class ControlAddress:
    """`target` is gRPC's: host:port or unix:PATH. `tls`: with a certificate that the system trusts."""

    target: str
    tls: bool = False

    def __str__(self) -> str:
        return f"https://{self.target}" if self.tls else self.target


def parse(text: str, *, source: str) -> ControlAddress:
    """Parses `gateway:18000`, `http://gateway:18000`, `https://gateway` or `unix:/run/trunkline/xds.sock`.

    Raises:
        UsageError: names `source`, the variable or file that holds `text`.
    """
    given = text.strip()
    scheme, separator, rest = given.partition(":")
    if separator and scheme.lower() == "unix":
        path = re.sub(r"^//(?=/)", "", rest)
        if not path or path.startswith("//"):
            raise UsageError(f"{source}={given}: expected unix:PATH, such as unix:/run/trunkline/xds.sock")
        return ControlAddress(f"unix:{path}")
    if "://" in given:
        return _from_url(given, source)
    host, port = _host_and_port(given)
    if host and port is None:
        raise UsageError(f"{source}={given}: the port is missing, such as {host}:18000; {EXPECTED}")
    if not host or port is None or not 0 < port <= 65535:
        raise UsageError(f"{source}={given}: {EXPECTED}")
    return ControlAddress(f"{host}:{port}")


def _from_url(url: str, source: str) -> ControlAddress:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS:
        raise UsageError(f"{source}={url}: {parts.scheme}:// is not known here; {EXPECTED}")
    if "@" in parts.netloc:
        raise UsageError(f"{source}: no user or password in the address; the token is TRUNKLINE_ADMIN_TOKEN")
    if parts.path.strip("/") or parts.query or parts.fragment:
        where = f"{parts.scheme}://{parts.netloc}"
        raise UsageError(f"{source}={url}: nothing may follow the port; use {where}")
    host, port = _host_and_port(parts.netloc)
    if not host or (port is not None and not 0 < port <= 65535):
        raise UsageError(f"{source}={url}: {EXPECTED}")
    return ControlAddress(f"{host}:{port or _PORTS[parts.scheme]}", tls=parts.scheme == "https")


def _host_and_port(text: str) -> tuple[str, int | None]:
    """Splits host and port. Returns an empty host or a port of 0 if they are invalid, and None for a missing
    port.
    """
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port, colon = text, "", ""
    if not _HOST.fullmatch(host):
        return "", None
    if not colon:
        return host, None
    return host, int(port) if port.isascii() and port.isdigit() else 0
