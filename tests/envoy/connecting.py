"""The module's end of its connection to the translator, driven without Envoy: fixtures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from tests.envoy.native import Driver
from tests.envoy.peer import PATIENCE, Peer
from translator.checks.frames import ASKED

HEAD = "\n/v1/chat/completions" + "\n" * len(ASKED)
LONG = 32 << 20
TIMEOUT_MS = 60_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@pytest.fixture
def peer(path: Path) -> Iterator[Peer]:
    with closing(Peer(path)) as listening:
        yield listening


@pytest.fixture
def client(path: Path, sanitizer: Literal["address", "thread"]) -> Iterator[Client]:
    with Driver("connection", sanitizer) as driver:
        yield Client(driver, path)


class Client:
    """The driver's connection and its checks, which have numbers of the test's own."""

    def __init__(self, driver: Driver, path: Path) -> None:
        self.driver = driver
        self._path = path

    def open(self, timeout_ms: int = TIMEOUT_MS, number: int = 0, lane: int = 0) -> bool:
        return self.driver.ask("open", number, self._path, timeout_ms, lane) == [b"1"]

    def close(self, number: int = 0) -> None:
        self.driver.ask("close", number)

    def ask(self, *checks: int, body: int = 0, connection: int = 0) -> None:
        """Sends checks, which their methods distinguish."""
        for check in checks:
            self.driver.ask("ask", check, connection, f"Q{check}{HEAD}", body)

    def hold(self, holding: bool = True) -> None:
        """Makes the worker's turn go on after checks, or end after each."""
        self.driver.ask("hold", int(holding))

    def flush(self, check: int) -> bool:
        """Ends the worker's turn, if this check has the event for it. Returns whether it has."""
        return self.driver.ask("flush", check) == [b"1"]

    def answer(self, check: int) -> tuple[int, bytes, bytes]:
        status, head, body = self.driver.ask("await", check)
        return int(status), head, body

    def queued(self, check: int) -> bytes:
        """Waits until the request has to wait. Returns the key on whose account it waits."""
        woken, key = self.driver.ask("queued", check)
        assert woken == b"1"
        return key

    def drop(self, *checks: int) -> list[bool]:
        """Returns for each check whether the peer may have read it."""
        read = []
        for check in checks:
            woken, asked = self.driver.ask("drop", check)
            assert woken == b"0", "an answer was announced more than once"
            read.append(asked == b"1")
        return read

    def logged(self, words: str) -> int:
        """Waits for a line with these words. Returns how many such lines there are."""
        deadline = time.monotonic() + PATIENCE
        lines: list[str] = []
        while not any(words in line for line in lines):
            assert time.monotonic() < deadline, lines
            lines += [line.decode() for line in self.driver.ask("logged")]
        return sum(words in line for line in lines)

    def end(self, number: int, request_id: str) -> None:
        self.driver.ask("end", 0, number, request_id)

    def expect(self, *checks: int) -> None:
        """Expects that each check was allowed, and drops it."""
        for check in checks:
            status, head, body = self.answer(check)
            assert (status, body) == (200, b"")
            assert head.startswith(b"\n\n\nroute-")
        self.drop(*checks)
