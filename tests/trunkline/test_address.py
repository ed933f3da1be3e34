from __future__ import annotations

import socket

import psutil
import pytest

from trunkline.address import Address, claimed, parse
from trunkline.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:8080", "127.0.0.1:8080"), ("[::1]:0", "[::1]:0"), ("0.0.0.0:80", "0.0.0.0:80")],
)
def test_an_address_is_read_and_written(text: str, expected: str) -> None:
    assert str(parse(text, flag="--listen")) == expected


def test_a_wildcard_is_reached_by_loopback() -> None:
    assert str(Address("0.0.0.0", 80).local) == "127.0.0.1:80"
    assert str(Address("::", 80).local) == "[::1]:80"


@pytest.mark.parametrize("text", ["8080", "127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:70000", "127.0.0.1:-1"])
def test_anything_else_names_the_flag(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--admin-listen .*expected HOST:PORT"):
        parse(text, flag="--admin-listen")


def test_zeros_claimed_together_differ_and_are_free_afterwards() -> None:
    zero = Address("127.0.0.1", 0)
    with claimed(zero, flag="--a") as first, claimed(zero, flag="--b") as second:
        assert first.port != second.port != 0
    # Another process may have taken them since.
    ours = {each.laddr.port for each in psutil.Process().net_connections() if each.laddr}
    assert not ours & {first.port, second.port}


def test_a_zero_stays_claimed_while_a_child_listens_there_and_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two gateways that start at once would otherwise share a port: Envoy listens with SO_REUSEPORT."""
    with claimed(Address("127.0.0.1", 0), flag="--a") as first:
        monkeypatch.setattr("trunkline.address._QUIET_PORTS", [first.port])
        for _ in range(2):
            with claimed(Address("127.0.0.1", 0), flag="--b") as second:
                assert second.port != first.port
            socket.create_server((first.host, first.port), reuse_port=True).close()


def test_a_claimed_port_is_none_that_linux_chooses_by_itself() -> None:
    with claimed(parse("127.0.0.1:0", flag="--listen"), flag="--listen") as found:
        assert 20_000 <= found.port < 32_768


def test_an_address_of_another_machine_is_refused() -> None:
    with (
        pytest.raises(UsageError, match=r"cannot listen on 192\.0\.2\.1:0 \(--a\)"),
        claimed(Address("192.0.2.1", 0), flag="--a"),
    ):
        pass
