"""Runs a steady load and records every request."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import load
from bench.errors import LoadFailedError, UnsettledError
from bench.load import Load

LONGEST_SECONDS = 600.0
DRAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """Times are seconds of time.monotonic(). `status` 0: no answer; `target` empty: none was named."""

    due: float
    ended: float
    status: int
    target: str

    @classmethod
    def parse(cls, line: str) -> Self:
        """Parses a line of loadgen's log."""
        due, ended, status, target = line.split(" ")
        return cls(int(due) / 1e6, int(ended) / 1e6, int(status), "" if target == "-" else target)


class RecordedLoad:
    """Sends `rate` requests a second over alternating `connections` until the block is left; then `requests` has
    them.

    The connections alternate because each of Envoy's threads applies a change separately.
    """

    def __init__(
        self, directory: Path, name: str, port: int, request: bytes, *, rate: float, connections: int
    ) -> None:
        self._request_file = directory / f"request-{name}"
        self._request_file.write_bytes(request)
        self._log = directory / f"log-{name}"
        steady = Load(connections, LONGEST_SECONDS, rate=rate, drain=DRAIN_SECONDS)
        self._command = [
            *load.command(port, self._request_file, steady),
            "--log",
            str(self._log),
            "--spread",
            "1",
        ]
        self.requests: list[Request] = []
        self.unanswered = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            output, complaint = self._process.communicate(timeout=DRAIN_SECONDS + 20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        if self._process.returncode != 0:
            raise LoadFailedError(f"loadgen ended with status {self._process.returncode}: {complaint.strip()}")
        self.requests = sorted(
            (Request.parse(line) for line in self._log.read_text().splitlines()), key=lambda each: each.due
        )
        self.unanswered = load.unfinished(output)

    @property
    def failed(self) -> int:
        """Returns the requests without a complete 200."""
        return sum(1 for each in self.requests if each.status != 200) + self.unanswered


def settled_after(requests: Sequence[Request], since: float, new: str | int) -> float:
    """Returns the seconds from `since` to the answer of the first request from which on all had the outcome `new`.

    `new` is a target's name or a status; `requests` are in the order in which they were due, some of them after.
    Raises UnsettledError when the last one still had another outcome.
    """
    first: Request | None = None
    for each in requests:
        if each.due < since:
            continue
        if (each.target if isinstance(new, str) else each.status) != new:
            first = None
        elif first is None:
            first = each
    if first is None:
        raise UnsettledError(f"no request ended with {new} by the time its measurement ended; run it again")
    return first.ended - since
