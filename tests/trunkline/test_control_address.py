"""TRUNKLINE_CONTROL: the accepted forms, and the errors for all others."""

from __future__ import annotations

import pytest

from trunkline.control_address import parse
from trunkline.errors import UsageError


@pytest.mark.parametrize(
    ("text", "target", "tls"),
    [
        ("gateway:18000", "gateway:18000", False),
        (" 10.0.0.1:18000\n", "10.0.0.1:18000", False),
        ("[::1]:18000", "[::1]:18000", False),
        ("http://gateway:18000", "gateway:18000", False),
        ("http://gateway:18000/", "gateway:18000", False),
        ("http://[::1]:18000", "[::1]:18000", False),
        ("HTTP://gateway", "gateway:80", False),
        ("https://gateway.example.org", "gateway.example.org:443", True),
        ("https://gateway.example.org:8443/", "gateway.example.org:8443", True),
        ("unix:/run/xds.sock", "unix:/run/xds.sock", False),
        ("unix:///run/xds.sock", "unix:/run/xds.sock", False),
        ("unix:data/run/xds.sock", "unix:data/run/xds.sock", False),
    ],
)
def test_what_is_understood(text: str, target: str, tls: bool) -> None:
    found = parse(text, source="TRUNKLINE_CONTROL")
    assert (found.target, found.tls) == (target, tls)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gateway", "TRUNKLINE_CONTROL=gateway: the port is missing, such as gateway:18000"),
        ("::1", "expected HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:PATH"),
        ("gateway:http", "expected HOST:PORT"),
        ("gateway:0", "expected HOST:PORT"),
        ("gateway:99999", "expected HOST:PORT"),
        ("", "expected HOST:PORT"),
        ("ftp://gateway:18000", "ftp:// is not known here; expected HOST:PORT"),
        ("grpc://gateway:18000", "grpc:// is not known here"),
        ("http://", "expected HOST:PORT"),
        ("http://gateway:18000/admin/v1", "nothing may follow the port; use http://gateway:18000"),
        ("http://gateway:port", "expected HOST:PORT"),
        ("unix:", "expected unix:PATH"),
        ("unix://host/run/xds.sock", "expected unix:PATH"),
    ],
)
def test_what_is_not(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text, source="TRUNKLINE_CONTROL")
    assert said in str(refused.value)


def test_a_password_in_the_address_is_not_repeated() -> None:
    with pytest.raises(UsageError, match="TRUNKLINE_ADMIN_TOKEN") as refused:
        parse("https://admin:hunter2@gateway:8443", source="TRUNKLINE_CONTROL")
    assert "hunter2" not in str(refused.value)
