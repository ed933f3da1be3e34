"""The start time of the Envoy at the admin socket, which separates its predecessor's requests from its own."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest
import structlog

from translator.ledger.envoy_admin import EnvoyAdmin

pytestmark = pytest.mark.processes

#: Reports the earliest time at which it could have served anything, and keeps its connections until it is killed.
#: A program that takes a while to start, like Envoy.
PROCESS = """
import sys, time
time.sleep(0.02)
print(time.time(), flush=True)
import os, socket
with socket.socket(socket.AF_UNIX) as listening:
    if os.path.exists(sys.argv[1]): os.unlink(sys.argv[1])
    listening.bind(sys.argv[1])
    listening.listen()
    held = []
    while True: held.append(listening.accept())
"""


async def test_every_start_is_reported_neither_before_it_was_nor_after_it_served(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    reported: asyncio.Queue[float] = asyncio.Queue()
    watching = asyncio.create_task(EnvoyAdmin(path, structlog.get_logger()).watch(reported.put_nowait))
    for _ in range(3):
        before = time.time()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", "-c", PROCESS, str(path)), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            serving = float(await process.stdout.readline())
            async with asyncio.timeout(60):
                started = await reported.get()
            assert before <= started <= serving
        finally:
            process.kill()
            await process.wait()
    watching.cancel()
    assert reported.empty()
