"""Addresses that a webhook may have, and those that it may not have."""

from __future__ import annotations

import pytest

from xds_server.alerts import addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/trunkline?token=a",
        "https://hooks.example:8443/",
        "https://10.1.2.3/alerts",
        "https://[2001:db8::1]/a",
        "http://localhost:9000/a",
        "http://127.0.0.1:9000/a",
        "http://[::1]:9000/a",
    ],
)
def test_webhooks(url: str) -> None:
    assert addresses.problem(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example/a",
        "ftp://hooks.example/a",
        "http://hooks.example/a",
        "https://user:password@hooks.example/a",
        "https://hooks.example/a#b",
        "https:///a",
        "https://hooks.example:99999/a",
        "https://169.254.169.254/latest",
        "https://[fe80::1]/a",
        "https://[::ffff:169.254.169.254]/a",
        "https://0.0.0.0/a",
        "https://[::]/a",
        "https://224.0.0.1/a",
        "https://hooks.example/a b",
        "https://hooks.example/\r\nx",
        "https://hooks.example/" + "a" * 2_050,
    ],
)
def test_no_webhooks(url: str) -> None:
    assert addresses.problem(url)


@pytest.mark.parametrize(
    ("address", "local", "forbidden"),
    [
        ("169.254.169.254", False, True),
        ("::ffff:169.254.169.254", True, True),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("127.0.0.1", True, False),
        ("10.0.0.1", False, False),
        ("fe80::1%eth0", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("::ffff:127.0.0.1", True, False),
        # Metadata services that are not link-local, and addresses that lead to others.
        ("100.100.100.200", False, True),
        ("168.63.129.16", True, True),
        ("fd00:ec2::254", False, True),
        ("64:ff9b::a9fe:a9fe", False, True),
        ("2002:7f00:1::1", False, True),
        ("64:ff9b::7f00:1", True, False),
        ("64:ff9b::a00:1", False, False),
        ("fd12::1", False, False),
    ],
)
def test_what_a_name_may_stand_for(address: str, *, local: bool, forbidden: bool) -> None:
    assert addresses.is_forbidden(address, local=local) is forbidden
