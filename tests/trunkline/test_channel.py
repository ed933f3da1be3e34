"""The connection that TRUNKLINE_CONTROL leads to, and the certificates that it trusts."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.channel import Trust, opened
from trunkline.errors import UsageError


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "unix:/tmp/none.sock", "http://127.0.0.1:1", "http://gateway", "https://[::1]:1/"]
)
def test_addresses_and_urls_open_channels(address: str) -> None:
    with opened(address, Trust(), ()):
        pass


@pytest.mark.parametrize(
    "url", ["https://", "https://host:70000", "https://host:port", "https://host/path", "https://user@host"]
)
def test_a_url_that_is_none_says_what_is_expected(url: str) -> None:
    with pytest.raises(UsageError, match="TRUNKLINE_CONTROL"):
        opened(url, Trust(), ())


def test_trust_comes_from_the_flag_then_the_environment(tmp_path: Path) -> None:
    known = {"SSL_CERT_FILE": "/system.pem", "TRUNKLINE_CLIENT_CERT": "/c.pem", "TRUNKLINE_CLIENT_KEY": "/k.pem"}
    assert Trust.of(known) == Trust(Path("/system.pem"), Path("/c.pem"), Path("/k.pem"))
    assert Trust.of({**known, "TRUNKLINE_CA_FILE": "/own.pem"}).ca == Path("/own.pem")
    assert Trust.of(known, tmp_path).ca == tmp_path
    assert Trust.of({}) == Trust()


def test_half_a_pair_and_a_missing_file_are_named() -> None:
    with pytest.raises(UsageError, match="TRUNKLINE_CLIENT_KEY: set both"):
        Trust.of({"TRUNKLINE_CLIENT_CERT": "/c.pem"})
    with pytest.raises(UsageError, match=r"cannot read /nowhere.pem"):
        opened("https://host:1", Trust(Path("/nowhere.pem")), ())
