"""The order in which services start, with real processes."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.waiting import until
from trunkline.errors import StartError
from trunkline.supervisor.lifeline import PipeLifeline
from trunkline.supervisor.process import Nursery
from trunkline.supervisor.services import Services
from trunkline.supervisor.spawn import ChildCommand

pytestmark = pytest.mark.processes

_LISTENS = """
import pathlib, socket, sys, time
ready, path = map(pathlib.Path, sys.argv[1:])
while not ready.exists():
    time.sleep(0.01)
path.unlink(missing_ok=True)
server = socket.socket(socket.AF_UNIX)
server.bind(str(path))
server.listen()
time.sleep(600)
"""
_NOTES = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"


def python(name: str, source: str, *arguments: Path, after: Path | None = None) -> ChildCommand:
    return ChildCommand(name, (sys.executable, "-c", source, *map(str, arguments)), dict(os.environ), after=after)


async def test_a_service_starts_once_the_socket_that_it_waits_for_listens(tmp_path: Path) -> None:
    ready, path, started = tmp_path / "ready", tmp_path / "s", tmp_path / "started"
    path.touch()  # left over from a process that was killed
    commands = [python("first", _LISTENS, ready, path), python("second", _NOTES, started, after=path)]
    with Nursery(PipeLifeline()) as nursery:
        services = Services(commands, nursery, print)
        services.start()
        await asyncio.sleep(0.2)  # long enough for one that did not wait to have started
        assert not started.exists()
        ready.touch()
        await until(started.exists)
        hurry = asyncio.Event()
        hurry.set()
        await services.stop(hurry)


async def test_a_start_fails_although_a_service_still_waits(tmp_path: Path) -> None:
    commands = [
        python("first", "raise SystemExit(3)"),
        python("second", _NOTES, tmp_path / "x", after=tmp_path / "s"),
    ]
    with Nursery(PipeLifeline()) as nursery:
        services = Services(commands, nursery, print)
        services.start()
        async with asyncio.timeout(60):
            with pytest.raises(StartError, match="first ended during the start"):
                await services.failed()
        await services.stop(asyncio.Event())
