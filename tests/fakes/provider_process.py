"""Starts, configures, freezes and kills a fake provider from a test.

    with ProviderProcess("a", api_keys=["sk-upstream"]) as provider:
        provider.behave("status:429", retry_after="2")
        ...
        assert provider.wait_for("requests", 1)
        assert provider.requests()[0].header("authorization") == "Bearer sk-upstream"

Calls block; in an async test use `await asyncio.to_thread(provider.wait_for, …)` or
the methods that begin with `a`.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.ports import ReservedPort

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as the provider received it; see recording.Record for the times. `body` is None from 1 MiB on."""

    id: int
    connection: int
    method: str
    path: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    body_bytes: int
    body_sha256: str
    mode: str
    received_monotonic: float
    status: int
    events_sent: int
    user: str
    prompt_tokens: int
    completion_tokens: int
    finished_monotonic: float | None
    disconnect: str
    disconnected_monotonic: float | None

    def header(self, name: str) -> str | None:
        """Returns the first header of that name in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        """Returns the parsed body."""
        assert self.body is not None, "bodies of 1 MiB or more are not kept; compare body_sha256"
        return json.loads(self.body)


class ProviderProcess:
    """A fake provider process. The port survives `kill` and `start`, so that a provider can come back.

    It answers for any model; it lists `models`, or some of OpenAI's. `launcher` is a command to which the
    provider's own is appended. If it moves the process to another network, the control API is out of reach.
    """

    def __init__(
        self,
        name: str = "a",
        *,
        api_keys: Sequence[str] = (),
        port: int = 0,
        models: Sequence[str] = (),
        launcher: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.port = port
        self._api_keys = tuple(api_keys)
        self._models = tuple(models)
        self._launcher = tuple(launcher)
        self._control_port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def base_url(self) -> str:
        """The base URL for a client or a provider's configuration."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> Self:
        """Starts the process and waits until it listens."""
        assert self._process is None, "already started"
        if not self.port:
            self._reserved = ReservedPort()
            self.port = self._reserved.number
        command = [
            *self._launcher,
            sys.executable,
            "-m",
            "tests.fakes.openai_provider",
            "--port",
            str(self.port),
            "--name",
            self.name,
        ]
        for key in self._api_keys:
            command += ["--api-key", key]
        for model in self._models:
            command += ["--model", model]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.kill()
            raise RuntimeError(f"the fake provider {self.name} did not start: {' '.join(command[:4])}")
        ports = json.loads(line)
        self._control_port = ports["control_port"]
        return self

    def kill(self) -> None:
        """Kills the process with SIGKILL and reaps it. Does nothing if it does not run."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Ends the process in any state, and reaps it."""
        self.kill()

    def freeze(self) -> None:
        """Sends SIGSTOP: the kernel still accepts connections, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Sends SIGCONT."""
        self._signal(signal.SIGCONT)

    def behave(self, mode: str, **parameters: Any) -> None:
        """Sets the mode for the next requests; parameters as in behaviour.Behaviour."""
        self._control("PUT", "behaviour", {"mode": mode, **parameters})

    def requests(self, since: int = 0) -> list[SeenRequest]:
        """Returns the requests since the last `clear`, oldest first; with `since`, those after that id."""
        return [_seen(record) for record in self._control("GET", f"requests?since={since}")]

    def produced(self) -> list[tuple[str, int, int]]:
        """Returns `user`, prompt and completion tokens of every chat that was answered whole."""
        return [(user, prompt, completion) for user, prompt, completion in self._control("GET", "produced")]

    def counters(self) -> dict[str, int]:
        """Returns connections, requests, finished, disconnects, events and unfinished_requests."""
        return dict(self._control("GET", "state")["counters"])

    def clear(self) -> None:
        """Forgets records and counters."""
        self._control("DELETE", "requests")

    def wait_for(self, counter: str, at_least: int = 1, timeout_seconds: float = 60.0) -> bool:
        """Waits until a counter is `at_least`; returns False on timeout."""
        query = f"wait?counter={counter}&at_least={at_least}&timeout_ms={int(timeout_seconds * 1000)}"
        return bool(self._control("GET", query, timeout_seconds=timeout_seconds + 20)["reached"])

    async def abehave(self, mode: str, **parameters: Any) -> None:
        await asyncio.to_thread(self.behave, mode, **parameters)

    async def arequests(self, since: int = 0) -> list[SeenRequest]:
        return await asyncio.to_thread(self.requests, since)

    async def acounters(self) -> dict[str, int]:
        return await asyncio.to_thread(self.counters)

    async def await_for(self, counter: str, at_least: int = 1, timeout_seconds: float = 60.0) -> bool:
        return await asyncio.to_thread(self.wait_for, counter, at_least, timeout_seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()

    def _control(self, method: str, call: str, body: Any = None, timeout_seconds: float = 60.0) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._control_port, timeout=timeout_seconds)
        try:
            connection.request(method, f"/__control/{call}", None if body is None else json.dumps(body))
            response = connection.getresponse()
            value = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(value["error"]["message"])
        return value


def _seen(record: dict[str, Any]) -> SeenRequest:
    body = None if record["body"] is None else base64.b64decode(record["body"])
    headers = tuple((name, value) for name, value in record["headers"])
    return SeenRequest(**{**record, "body": body, "headers": headers})
