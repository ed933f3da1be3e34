"""Which direct addresses nodes may have."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from xds_server.nodes.direct import DirectAddresses, is_local, parse

LISTENERS = [("0.0.0.0", 8080), ("127.0.0.1", 8081), ("10.0.0.1", 8443), ("control.internal", 18000)]


def networks(*texts: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(each) for each in texts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.5:8443", ("10.0.0.5", 8443)),
        ("[fd00::5]:1", ("fd00::5", 1)),
        ("[FD00:0::5]:65535", ("fd00::5", 65535)),
        ("[::ffff:10.0.0.5]:1", ("10.0.0.5", 1)),
        ("[::ffff:7f00:1]:1", ("127.0.0.1", 1)),
        ("", None),
        ("10.0.0.5", None),
        ("10.0.0.5:", None),
        ("10.0.0.5:0", None),
        ("10.0.0.5:65536", None),
        ("10.0.0.5:+80", None),
        ("10.0.0.5:٣", None),
        ("10.0.0:80", None),
        ("0x7f.1:80", None),
        ("0177.0.0.1:80", None),
        ("2130706433:80", None),
        ("fd00::5:80", None),
        ("[10.0.0.5]:80", None),
        ("[fe80::1%eth0]:80", None),
        ("name:80", None),
        ("localhost:80", None),
    ],
)
def test_what_is_an_address(text: str, expected: tuple[str, int] | None) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("169.254.169.254", "metadata"),
        ("169.254.170.2", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("fd00:ec2::23", "metadata"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fec0::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("240.0.0.1", "reserved"),
        ("192.0.0.8", "reserved"),
        ("192.0.2.1", "documentation"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.7", "documentation"),
        ("2001:db8::1", "documentation"),
        ("198.19.255.1", "benchmarks"),
        ("::127.0.0.1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("64:ff9b:1::7f00:1", "loopback"),
        ("2002:7f00:1::1", "loopback"),
        ("2002:a9fe:a9fe::", "metadata"),
        ("2001:0:102:304:0:0:80ff:fffe", "loopback"),  # Teredo holds the client's address inverted
        ("2a00:1::5efe:7f00:1", "loopback"),
        ("2a00:1::200:5efe:a9fe:a9fe", "metadata"),
    ],
)
def test_what_is_refused_unless_it_is_allowed(host: str, kind: str) -> None:
    problem = DirectAddresses().problem(host, 9000)
    assert kind in problem
    assert "--allow-direct" in problem
    assert DirectAddresses(networks("10.0.0.0/8", "fd00:1::/32")).problem(host, 9000) == problem
    assert DirectAddresses(networks("0.0.0.0/0", "::/0")).problem(host, 9000) == ""


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.5", "172.16.3.4", "192.168.1.2", "100.64.0.9", "8.8.8.8", "fd00::5", "2a00:1450::1",
        "64:ff9b::808:808", "2002:808:808::1", "::ffff:10.0.0.5",
    ],
)  # fmt: skip
def test_where_own_machines_live(host: str) -> None:
    assert DirectAddresses().problem(host, 9000) == ""


def test_what_an_operator_allows_holds_for_embedded_addresses_too() -> None:
    rule = DirectAddresses(networks("127.0.0.0/8"))
    assert rule.problem("127.0.0.1", 9000) == rule.problem("64:ff9b::7f00:1", 9000) == ""
    assert "loopback" in rule.problem("::1", 9000)
    assert "metadata" in rule.problem("64:ff9b::a9fe:a9fe", 9000)


@pytest.mark.parametrize(
    ("host", "port", "refused"),
    [
        ("127.0.0.1", 8080, True),
        ("10.0.0.1", 8080, True),
        ("fd00::1", 8080, True),
        ("64:ff9b::7f00:1", 8080, True),
        ("10.0.0.2", 8080, False),
        ("127.0.0.1", 8081, True),
        ("10.0.0.1", 8081, False),
        ("::ffff:127.0.0.1", 8081, True),
        ("10.0.0.1", 8443, True),
        ("10.0.0.2", 8443, False),
        ("127.0.0.1", 18000, True),
        ("10.0.0.1", 9000, False),
    ],
)
def test_the_gateways_own_listeners_are_never_allowed(host: str, port: int, refused: bool) -> None:
    own = {"127.0.0.1", "10.0.0.1", "fd00::1"}
    rule = DirectAddresses(networks("0.0.0.0/0", "::/0"), LISTENERS, own.__contains__)
    assert ("the gateway's own listeners" in rule.problem(host, port)) is refused


def test_this_machines_addresses() -> None:
    assert is_local("127.0.0.1")
    assert is_local("127.1.2.3")
    assert not is_local("203.0.113.7")
    assert not is_local("2001:db8::1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("203.0.113.7", 9))
        assert is_local(probe.getsockname()[0])
