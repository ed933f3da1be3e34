"""A node as its owner runs it: `trunkline-node`, invited by the operator of a real gateway."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.gateway.process import GatewayProcess

ROOT = Path(__file__).parents[3]
JOIN_SECONDS = 120.0
STOP_SECONDS = 60.0


class NodeProcess:
    """A node of `gateway`. Entering joins and serves; leaving ends the process in any state.

    `invite` and `join` are further words of `trunkline nodes invite` and `trunkline-node join`. `launcher` is a
    command to which the node's is appended (`ip netns exec …`). `url` is the gateway's address for the node.
    """

    def __init__(
        self,
        gateway: GatewayProcess,
        state_dir: Path,
        *upstreams: str,
        name: str = "rig",
        organisation: str = "default",
        invite: Sequence[str] = (),
        join: Sequence[str] = (),
        launcher: Sequence[str] = (),
        url: str = "",
    ) -> None:
        self.gateway = gateway
        self.state_dir = state_dir
        self.name = name
        self.log_file = state_dir.parent / f"{state_dir.name}.log"
        self._organisation = organisation
        self._invite = [*invite, *(("--url", url) if url else ())]
        self._join = [*join, *(word for each in upstreams for word in ("--upstream", each))]
        self._launcher = launcher
        self._process: subprocess.Popen[bytes] | None = None
        #: Monotonic time of the last start of `join` or `run`.
        self.started = 0.0

    def __enter__(self) -> Self:
        return self.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def join(self) -> Self:
        """Starts `trunkline-node join`, which serves. Does not wait for anything."""
        words = ("--org", self._organisation, "--name", self.name, "--output", "json", *self._invite)
        invitation = json.loads(self.gateway.run("nodes", "invite", *words).stdout)
        self._start("join", invitation["url"], *self._join, TRUNKLINE_JOIN_TOKEN=invitation["token"])
        return self

    def run(self, *words: str) -> Self:
        """Starts `trunkline-node run`, once the node has joined."""
        self._start("run", *words)
        return self

    def verb(self, *words: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Runs another command of `trunkline-node` for this node."""
        return subprocess.run(
            [*self._launcher, sys.executable, "-m", "node_sidecar", *words],
            cwd=self.state_dir.parent,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """Returns the output of `trunkline-node status`; empty if it does not answer."""
        done = self.verb("status", "--output", "json")
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def described(self) -> dict[str, Any]:
        """Returns the output of `trunkline nodes describe`, the gateway's view; empty until the node
        has joined.
        """
        done = self.gateway.run(
            "nodes", "describe", f"{self._organisation}/{self.name}", "--output", "json", check=False
        )
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def await_seen(self, wanted: Callable[[Mapping[str, Any]], bool], within: float = 120.0) -> dict[str, Any]:
        """Waits until `wanted` holds for `described`."""
        deadline = time.monotonic() + within
        while not ((seen := self.described()) and wanted(seen)):
            if time.monotonic() > deadline:
                raise AssertionError(f"the gateway sees {seen or 'no node'}; the node says:\n{self.log}")
        return seen

    def await_online(self, within: float = 120.0) -> dict[str, Any]:
        """Waits until the gateway can serve a model of this node."""
        return self.await_seen(
            lambda seen: seen["state"] == "online" and any(offer["healthy"] for offer in seen["offers"]), within
        )

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """The output over all its starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def node_id(self) -> str:
        found = re.search(r"\((nd-[a-z2-7]{16})\)", self.log)
        assert found is not None, f"not joined:\n{self.log}"
        return found[1]

    @property
    def code(self) -> int | None:
        """The exit status; None while it runs."""
        assert self._process is not None, "not started"
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kills the process with SIGKILL and reaps it. Does nothing if it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> int:
        """Sends SIGTERM, like a service manager. Returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(STOP_SECONDS)

    def wait(self, within: float = STOP_SECONDS) -> int:
        """Waits until it has ended by itself. Returns the exit status."""
        assert self._process is not None, "not started"
        return self._process.wait(within)

    def _start(self, *words: str, **environment: str) -> None:
        assert self._process is None or self._process.poll() is not None, "runs already"
        self.state_dir.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self.started = time.monotonic()
            self._process = subprocess.Popen(
                [*self._launcher, sys.executable, "-m", "node_sidecar", *words],
                cwd=self.state_dir.parent,
                env=self._environment() | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "TRUNKLINE_NODE_STATE_DIR": str(self.state_dir),
        }
