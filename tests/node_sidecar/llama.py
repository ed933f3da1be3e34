"""llama.cpp's real server with a tiny model; conftest.py imports the fixture for all tests of the node."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node_sidecar.support.tiny_gguf import write

PROGRAM = Path(__file__).parent / "support/llama_process.py"
#: The server's name for the model.
MODEL = "tiny"


class Llama:
    """A server process. Unless `sleep_after` is set, it answers until `kill` sends SIGKILL."""

    def __init__(self, model: Path, *, sleep_after: int = -1) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(model), str(sleep_after)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "llama.cpp's server did not start"

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write(path)
    return path


@pytest.fixture(scope="session")
def llama(tiny_model: Path) -> Iterator[Llama]:
    """A shared server that tests must not kill, with two slots of 256 tokens each."""
    server = Llama(tiny_model)
    yield server
    server.kill()
