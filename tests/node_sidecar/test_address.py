from __future__ import annotations

import pytest

from node_sidecar import address
from node_sidecar.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://gw.example.org:8443", "gw.example.org:8443"),
        ("https://gw.example.org/", "gw.example.org:443"),
        ("https://[::1]:8443", "[::1]:8443"),
    ],
)
def test_a_gateways_url(url: str, expected: str) -> None:
    assert address.gateway(url) == expected


@pytest.mark.parametrize(
    "url", ["http://gw", "gw:8443", "https://", "https://gw:port", "https://gw/v1", "https://u@gw", "https://gw?x"]
)
def test_what_is_no_gateways_url(url: str) -> None:
    with pytest.raises(SettingsError):
        address.gateway(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1/"])
def test_a_local_server_may_be_named_with_its_v1(url: str) -> None:
    assert address.upstream(url) == "http://127.0.0.1:8000"


@pytest.mark.parametrize("text", ["host", "host:0", "host:99999", ":1", "a b:1", "http://h:1"])
def test_what_is_no_host_and_port(text: str) -> None:
    with pytest.raises(SettingsError, match="--direct"):
        address.host_port(text, "--direct")
