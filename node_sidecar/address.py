"""Parses the addresses in the sidecar's options."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from node_sidecar.errors import SettingsError

_HOST_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")


def host_port(text: str, option: str) -> str:
    """Returns `text` if it is host:port (IPv6 in brackets).

    Raises:
        SettingsError: it is not.
    """
    if not _HOST_PORT.fullmatch(text) or not 0 < int(text.rpartition(":")[2]) < 65536:
        raise SettingsError(f"{option}: {text!r} is not host:port")
    return text


def gateway(url: str) -> str:
    """Returns the host:port of the gateway's `https` URL; the default port is 443.

    Raises:
        SettingsError: it is not such a URL.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or 443
    except ValueError as error:
        raise SettingsError(f"the gateway's URL {url!r} has no valid port") from error
    if parts.scheme != "https" or not host or parts.path not in {"", "/"} or parts.query or parts.username:
        raise SettingsError(
            f"{url!r} is not a gateway's URL (https://host:port, as `trunkline nodes invite` prints)"
        )
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def upstream(url: str, option: str = "--upstream") -> str:
    """Returns a local server's base URL without a trailing slash or `/v1`.

    Raises:
        SettingsError: it is not an http or https URL.
    """
    parts = urlsplit(url)
    try:
        valid = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or parts.query or parts.username:
        raise SettingsError(f"{option}: {url!r} is not a local server's URL like http://127.0.0.1:11434")
    return url.rstrip("/").removesuffix("/v1").rstrip("/")
