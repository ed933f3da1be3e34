"""Runs the C program `loadgen` against one port."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.errors import LoadFailedError
from bench.native import program
from bench.subject import Subject


@dataclass(frozen=True, slots=True)
class Load:
    """The load to apply; times are in seconds. A `rate` (requests per second) makes the loop an open one; `ramp`
    spreads the connections.
    """

    connections: int
    seconds: float
    rate: float = 0
    drain: float = 3
    ramp: float = 0


@dataclass(frozen=True, slots=True)
class Latency:
    """Microseconds."""

    p50: int
    p99: int


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`errors` counts every request without a complete 200; `open_streams` were still running at the end."""

    seconds: float
    completed: int
    events: int
    errors: int
    open_streams: int
    statuses: Mapping[str, int]
    first_byte: Latency
    whole: Latency

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses the output of loadgen."""
        found: dict[str, Any] = json.loads(text)
        refused = sum(count for status, count in found["statuses"].items() if status != "200")
        failed = found["connect_errors"] + found["broken"] + found["timeouts"]
        cut_off = found["unfinished"] - found["open_streams"]
        first, whole = found["first_byte_us"], found["whole_us"]
        return cls(
            seconds=found["seconds"],
            completed=found["completed"],
            events=found["events"],
            errors=refused + failed + cut_off,
            open_streams=found["open_streams"],
            statuses=found["statuses"],
            first_byte=Latency(first["p50"], first["p99"]),
            whole=Latency(whole["p50"], whole["p99"]),
        )


def request_bytes(model: str, prompt_bytes: int, api_key: str, *, stream: bool) -> bytes:
    """Returns the bytes of a chat completion request with a prompt of that many bytes."""
    words = "The quick brown fox jumps over the lazy dog. "
    prompt = (words * (prompt_bytes // len(words) + 1))[:prompt_bytes]
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    if stream:
        body["stream"] = True
    data = json.dumps(body, separators=(",", ":")).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: bench.example\r\nAccept: application/json\r\n"
        "Content-Type: application/json\r\nUser-Agent: OpenAI/Python 2.0.0\r\n"
        f"Authorization: Bearer {api_key}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def command(port: int, request: Path, load: Load) -> list[str]:
    """Returns the command line of a run."""
    options = {
        "--port": port,
        "--request": request,
        "--connections": load.connections,
        "--seconds": load.seconds,
        "--rate": load.rate,
        "--drain": load.drain,
        "--ramp": load.ramp,
    }
    return [str(program("loadgen")), *(str(word) for option in options.items() for word in option)]


def unfinished(output: str) -> int:
    """Returns the number of requests without an answer at the end, from the output of loadgen."""
    return int(json.loads(output)["unfinished"])


def run(subject: Subject, request: Path, load: Load) -> LoadResult:
    """Runs loadgen to its end. Raises LoadFailedError."""
    limit = load.seconds + load.drain + 60
    done = subprocess.run(
        command(subject.port, request, load), capture_output=True, text=True, check=False, timeout=limit
    )
    if done.returncode != 0:
        raise LoadFailedError(f"loadgen ended with status {done.returncode}: {done.stderr.strip()}")
    return LoadResult.parse(done.stdout)
