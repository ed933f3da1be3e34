"""Reserved ports: nobody else gets one until it is released."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from tests import ports
from tests.ports import ReservedPort


def test_a_reserved_port_is_nobody_elses_until_it_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_RANGE", range(19_990, 20_000))
    first = ReservedPort()
    taken: list[ReservedPort] = []
    with suppress(OSError):
        while True:
            taken.append(ReservedPort())
    numbers = [first.number, *(each.number for each in taken)]
    assert len(numbers) == len(set(numbers))
    first.release()
    assert ReservedPort().number == numbers[0]


def test_a_port_in_use_is_not_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = ReservedPort()
    with socket.create_server(("127.0.0.1", chosen.number)):
        chosen.release()
        monkeypatch.setattr(ports, "_RANGE", range(chosen.number, chosen.number + 1))
        with pytest.raises(OSError, match="no port"):
            ReservedPort()


def test_a_forgotten_port_is_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_RANGE", range(19_980, 19_981))  # no other test reserves this one
    number = ReservedPort().number
    assert ReservedPort().number == number
