"""Nonces: each is used once, and only its own stream knows it."""

from __future__ import annotations

import pytest

from xds_server.protocol.nonces import Nonces


def test_what_was_issued_is_known_and_nothing_else() -> None:
    nonces, other = Nonces(b"secret"), Nonces(b"another secret")
    issued = [nonces.next() for _ in range(12)]
    assert len(set(issued)) == 12
    assert all(nonces.issued(each) for each in issued)
    assert not any(nonces.issued(other.next()) for _ in range(12))
    ahead = Nonces(b"secret")
    assert not any(ahead.issued(each) for each in issued)


@pytest.mark.parametrize(
    "guess", ["", "1", "1-", "01-", "0", "-1", "1-0000000000000000", "٣-x", "9" * 5_000, "1-\ud800"]
)
def test_guesses(guess: str) -> None:
    nonces = Nonces(b"secret")
    nonces.next()
    assert not nonces.issued(guess)
    assert not nonces.issued(f"0{nonces.next()}")
