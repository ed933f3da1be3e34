"""Decides which addresses a webhook may have.

An operator chooses the address. All the same it must not reach a target that nobody intends: a cloud's metadata
service, or other servers on this machine (loopback, unless the URL names it explicitly).
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from xds_server.special_addresses import embedded, is_metadata_service

_MAX_LENGTH = 2_048
_LOCAL_NAMES = frozenset({"localhost", "ip6-localhost"})


def problem(url: str) -> str:
    """Returns why `url` cannot be a webhook; empty if it can."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "not a URL"
    local = names_this_machine(host)
    rules = {
        f"not a URL of at most {_MAX_LENGTH} printable ASCII characters": len(url) > _MAX_LENGTH
        or not url.isascii()
        or not url.isprintable()
        or " " in url,
        "not an https URL": parts.scheme not in {"https", "http"} or not host,
        "a URL with a user, a password or a fragment": "@" in parts.netloc or bool(parts.fragment),
        "plain http to another machine": parts.scheme == "http" and not local,
        "an address that may not be a webhook": not local and is_address(host) and is_forbidden(host, local=False),
    }
    return next((why for why, broken in rules.items() if broken), "")


def names_this_machine(host: str) -> bool:
    """Returns whether a URL explicitly names this machine."""
    return host.lower() in _LOCAL_NAMES or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(host: str) -> bool:
    """Returns whether a host is an IPv4 or IPv6 address, without brackets, and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_forbidden(address: str, *, local: bool) -> bool:
    """Returns whether nothing may be sent to an address to which a name resolves. `local`: the name means this
    machine.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    return is_metadata_service(found) or any(
        not local
        if each.is_loopback
        else each.is_link_local or each.is_multicast or each.is_unspecified or each.is_reserved
        for each in tuple(embedded(found)) or (found,)
    )
