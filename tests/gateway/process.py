"""The whole gateway as its users start it: `trunkline up` in a process of its own."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.waiting import eventually, until

START_SECONDS = 180.0
STOP_SECONDS = 60.0
SERVICES = {"envoy": "envoy", "xds_server": "xds_server", "translator": "translator"}


class GatewayProcess:
    """`trunkline up` on free ports. Entering waits for `ready`; leaving stops it and all that it started.

    `launcher` is a command to which the gateway's is appended.
    """

    def __init__(
        self,
        data_dir: Path,
        config: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        launcher: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir
        self.config_file = data_dir.parent / f"{data_dir.name}.yaml"
        self._config = config
        self._environment = {**_clean_environment(), **(environment or {})}
        self._arguments = arguments
        self._launcher = launcher
        self._process: subprocess.Popen[str] | None = None
        self.ready_line = ""
        self.ready_seconds = 0.0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Starts it and waits for the `ready` line."""
        # Nobody waits for requests that a test leaves running. A later flag wins.
        command = [sys.executable, "-m", "trunkline", "up", "--data-dir", str(self.data_dir)]
        command += ["--drain-seconds", "0"]
        for flag in ("--listen", "--admin-listen", "--control-listen", "--tunnel-listen"):
            command += [flag, "127.0.0.1:0"]
        if self._config is not None:
            self.config_file.write_text(yaml.safe_dump(dict(self._config)))
            command += ["--config", str(self.config_file)]
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.errors_file = self.data_dir.parent / f"{self.data_dir.name}.stderr"
        begun = time.monotonic()
        with self.errors_file.open("a") as errors:
            self._process = subprocess.Popen(
                [*self._launcher, *command, *self._arguments],
                cwd=self.data_dir.parent,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        self.ready_line = self._process.stdout.readline() if readable else ""
        self.ready_seconds = time.monotonic() - begun
        if not self.ready_line.startswith("ready"):
            self.stop()
            raise AssertionError(
                f"no ready line after {self.ready_seconds:.1f} s:\n{self.errors_file.read_text()}"
            )
        return self

    def stop(self) -> int:
        """Sends SIGINT, like Ctrl-C. Returns the exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(signal.SIGINT)
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return status

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def credentials(self) -> dict[str, str]:
        values = json.loads((self.data_dir / "credentials.json").read_text())
        return {str(name): str(value) for name, value in values.items()}

    @property
    def base_url(self) -> str:
        return self.credentials["base_url"]

    @property
    def origin(self) -> str:
        """The base URL without its path, e.g. `http://127.0.0.1:8080`."""
        return self.base_url.removesuffix("/v1")

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.origin.rpartition("//")[2].rpartition(":")
        return host, int(port)

    @property
    def api_key(self) -> str:
        return self.credentials["api_key"]

    @property
    def admin_url(self) -> str:
        return self.credentials["admin_url"]

    def readyz(self) -> tuple[int, str]:
        """Returns the status of `/readyz`, and the gateway's text there; empty while the control plane is down."""
        try:
            with urllib.request.urlopen(f"{self.admin_url}/readyz", timeout=60) as answer:
                return answer.status, json.load(answer)["status"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error).get("status", "")

    def setup_link(self) -> str:
        """The console's set-up link, which the first start prints after `ready`."""
        printed = re.compile(r"set up the console, within a day and once: (\S+)")
        return str(eventually(lambda: printed.findall(self._errors()), START_SECONDS)[0])

    def _errors(self) -> str:
        return self.errors_file.read_text()

    def service_pid(self, name: str) -> int:
        """Returns the pid of `envoy`, `xds_server` or `translator`."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if parent == self.pid and any(Path(word.decode()).name == name for word in words[:5]):
                return int(entry.name)
        raise LookupError(f"no {name} below {self.pid}")

    async def running_pid(self, name: str) -> int:
        """Returns a service's pid; waits if it is between its end and its restart."""

        def found() -> int:
            with suppress(LookupError):
                return self.service_pid(name)
            return 0

        return await until(found)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal to one service. Returns the pid that it had."""
        pid = self.service_pid(name)
        os.kill(pid, number)
        return pid

    def run(
        self,
        *verb: str,
        check: bool = True,
        stdin: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a `trunkline` verb against this gateway; `environment` adds and replaces variables."""
        known = self.credentials
        done = subprocess.run(
            [sys.executable, "-m", "trunkline", *verb],
            cwd=self.data_dir.parent,
            env={
                **self._environment,
                "TRUNKLINE_CONTROL": known["control"],
                "TRUNKLINE_ADMIN_TOKEN": known["admin_token"],
                **(environment or {}),
            },
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,  # a restart waits for running requests, and starts everything again
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"trunkline {' '.join(verb)} failed ({done.returncode}):\n{done.stdout}{done.stderr}"
            )
        return done

    def apply(self, config: Mapping[str, Any], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs `trunkline apply -f` with this document."""
        self.config_file.write_text(yaml.safe_dump(dict(config)))
        return self.run("apply", "-f", str(self.config_file), check=check)


def _clean_environment() -> dict[str, str]:
    """Returns this environment without providers' keys, so that a developer's own do not become providers."""
    root = str(Path(__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    return {**kept, "PYTHONPATH": root}
