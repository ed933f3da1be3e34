"""Runs the upstream of all subjects: the C program `upstream`."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.native import program
from bench.processes import Child


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running upstream."""

    port: int

    def stats(self) -> dict[str, int]:
        """Returns connections, requests, streams, streams_finished, events, clients_gone since the start."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", "/__stats")
            return dict(json.loads(connection.getresponse().read()))
        finally:
            connection.close()


@contextmanager
def running_upstream(directory: Path, name: str = "upstream", models: Sequence[str] = ()) -> Iterator[Upstream]:
    """Starts the upstream; its log goes to `directory`. It lists `models` and answers for any model. Raises
    BenchError.
    """
    listed = [word for model in models for word in ("--model", model)]
    with Child([str(program("upstream")), *listed], directory / f"{name}.log") as child:
        yield Upstream(port=int(child.wait_for_line(r'\{"port": (\d+)\}', 10)[1]))
