"""`trunkline-node` as a person or a service manager runs it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from types import TracebackType


class NodeProcess:
    """A running command, whose environment sets `state_dir`. Use it with `async with`, which kills it at the end.

    `python` is the interpreter; by default that of the tests.
    """

    def __init__(
        self, state_dir: Path, *arguments: str, python: str | Path = sys.executable, **environment: str
    ) -> None:
        self._python = python
        self._arguments = arguments
        self._environment = {**os.environ, "TRUNKLINE_NODE_STATE_DIR": str(state_dir), **environment}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> NodeProcess:
        self._process = await asyncio.create_subprocess_exec(
            self._python,
            "-m",
            "node_sidecar",
            *self._arguments,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return self

    async def __aenter__(self) -> NodeProcess:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "not started"
        return self._process

    async def line_with(self, text: str) -> str:
        """Returns the next line of its output that contains `text`."""
        assert self.process.stdout is not None
        seen = ""
        async with asyncio.timeout(60):
            while line := (await self.process.stdout.readline()).decode():
                seen += line
                if text in line:
                    return line
        raise AssertionError(f"no {text!r} in the output:\n{seen}")

    async def end(self) -> tuple[int, str]:
        """Returns its exit code and the rest of its output."""
        async with asyncio.timeout(60):
            output, _ = await self.process.communicate()
        code = self.process.returncode
        assert code is not None
        return code, output.decode()


async def run(
    state_dir: Path, *arguments: str, python: str | Path = sys.executable, **environment: str
) -> tuple[int, str]:
    """Runs a command that ends by itself. Returns its exit code and output."""
    return await (await NodeProcess(state_dir, *arguments, python=python, **environment).start()).end()
