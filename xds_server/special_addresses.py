"""Addresses that need special care: the metadata services of clouds, which give away credentials, and IPv6
addresses by which a router or tunnel reaches an IPv4 address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Networks.
METADATA_SERVICES = (
    "169.254.169.254/32",  # most clouds
    "169.254.170.2/32",  # ECS's credentials
    "169.254.170.23/32",  # EKS's credentials
    "100.100.100.200/32",  # Alibaba
    "168.63.129.16/32",  # Azure's platform
    "192.0.0.192/32",  # Oracle
    "fd00:ec2::/32",  # AWS: metadata, DNS, time, EKS's credentials
    "fd20:ce::254/128",  # Google
)
#: NAT64 (RFC 6052, RFC 8215): the last 32 bits are an IPv4 address.
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
#: The middle of an ISATAP address (RFC 5214), whose last 32 bits are an IPv4 address.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
_METADATA_NETWORKS = tuple(map(ipaddress.ip_network, METADATA_SERVICES))


def is_metadata_service(address: Address) -> bool:
    """Returns whether the address is a metadata service, or leads to one."""
    return any(each in network for each in (address, *embedded(address)) for network in _METADATA_NETWORKS)


def embedded(address: Address) -> Iterator[Address]:
    """Yields the IPv4 addresses that a router or tunnel would reach for an IPv6 address."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    number = int(address)
    if any(address in network for network in _NAT64) or (number >> 32) & 0xFFFFFFFF in _ISATAP:
        yield ipaddress.IPv4Address(number & 0xFFFFFFFF)
