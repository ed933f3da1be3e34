"""Processes of the tests, watched by events instead of sleeping."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[3]
_PATIENCE_SECONDS = 60.0


def wait_for_end(pid: int) -> None:
    """Waits until the process `pid`, not necessarily a child of ours, has ended; fails after a minute."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([descriptor], [], [], _PATIENCE_SECONDS)
        assert ended, f"process {pid} still runs"
    finally:
        os.close(descriptor)


class FakeGateway:
    """`trunkline up` with tiny children, as a process of its own."""

    def __init__(self, data_dir: Path, *, listen: str = "127.0.0.1:0", failing: str = "") -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.trunkline.fakes.gateway", str(data_dir), listen, "127.0.0.1:0", failing],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout = self.process.stdout
        self.stderr = self.process.stderr

    def __enter__(self) -> FakeGateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def ready(self) -> str:
        line = self.stdout.readline()
        assert line.startswith("ready "), line + self.stderr.read()
        return line

    def heard(self, text: str) -> str:
        """Returns the next line on stderr that contains `text`."""
        for line in self.stderr:
            if text in line:
                return line
        raise AssertionError(f"{text!r} was never said")

    def child(self, name: str) -> int:
        """Returns the pid of the newest child with that name."""
        return int((self.data_dir / "log" / f"{name}.log").read_text().split("pid ")[-1].split()[0])

    def children(self) -> list[int]:
        return [self.child(name) for name in ("xds_server", "translator", "envoy")]
