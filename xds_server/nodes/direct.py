"""Decides which direct addresses nodes may have: a node could point Envoy at what only the gateway should
reach.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeAlias

from xds_server.special_addresses import METADATA_SERVICES, Address, embedded

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Networks where no machine of an operator answers, or one that no node may name. The first match names the
#: reason.
_REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), kind)
    for kind, networks in (
        ("loopback", ("127.0.0.0/8", "::1/128")),
        (
            "the metadata service of a cloud",
            METADATA_SERVICES,
        ),
        ("link-local", ("169.254.0.0/16", "fe80::/10", "fec0::/10")),
        ("multicast", ("224.0.0.0/4", "ff00::/8")),
        ("broadcast", ("255.255.255.255/32",)),
        ("unspecified", ("0.0.0.0/8", "::/128")),
        (
            "a range for documentation",
            ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
        ),
        ("a range for benchmarks", ("198.18.0.0/15", "2001:2::/48")),
        (
            "a reserved range",
            ("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4", "::/96", "100::/64", "2001:10::/28", "5f00::/16"),
        ),
    )
    for network in networks
)
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared, not bound


def parse(text: str) -> tuple[str, int] | None:
    """Parses `10.0.0.5:8443` or `[fd00::5]:8443` into IP address and port; returns None for anything else.

    An IPv4-mapped address becomes the IPv4 address that it stands for.
    """
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        return None
    if bracketed != (address.version == 6) or "%" in host:
        return None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65_535):
        return None
    return str(getattr(address, "ipv4_mapped", None) or address), int(port)


def is_local(address: str) -> bool:
    """Returns whether this machine has the address. Sends nothing: the kernel answers from its routes."""
    if ipaddress.ip_address(address).is_loopback:
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return str(probe.getsockname()[0]) == address
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class DirectAddresses:
    """The operator's rule. `allowed` networks lift what is refused by default, but not the gateway's `listeners`.

    A listener is (host, port); a host that is not an IP address, or is every address, means any address of this
    machine.
    """

    allowed: Collection[Network] = ()
    listeners: Collection[tuple[str, int]] = ()
    is_local: Callable[[str], bool] = field(default=is_local)

    def problem(self, host: str, port: int) -> str:
        """Returns why a node may not be reached at this IP address and port, and what to do; empty if it may."""
        address = ipaddress.ip_address(host)
        reached = [address, *embedded(address)]
        if any(self._listens(each, port) for each in reached):
            return (
                "is one of the gateway's own listeners: give the address and port where the sidecar itself listens"
            )
        if _within(address, self.allowed):
            return ""
        for each in reached:
            kind = _refused_kind(each)
            if kind and not _within(each, self.allowed):
                inside = "" if each is address else f" (as {each})"
                return (
                    f"is {kind}{inside}, which this gateway refuses: give an address of the node that the "
                    f"gateway reaches, or let an operator allow it with --allow-direct {each}/{each.max_prefixlen}"
                )
        return ""

    def _listens(self, address: Address, port: int) -> bool:
        for host, listening in self.listeners:
            if listening != port:
                continue
            own = _ip_address(host)
            if own is None or host in _ANY:
                if self.is_local(str(address)):
                    return True
            elif own == address:
                return True
        return False


def _refused_kind(address: Address) -> str:
    return next((kind for network, kind in _REFUSED if _within(address, (network,))), "")


def _within(address: Address, networks: Collection[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _ip_address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
