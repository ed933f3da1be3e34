"""kill -9 of a process with a ledger at any moment: no record is lost, and no limit counts twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.translator.ledger.collecting import Collector
from tests.translator.ledger.edge import TAG
from tests.translator.ledger.writing import EnvoyLog, request_line, reservation
from tests.waiting import until, until_answered


class Edge:
    """The child, and one connection to it."""

    def __init__(self, directory: Path, process: asyncio.subprocess.Process) -> None:
        self._path = directory / "edge.sock"
        self.process = process

    async def connect(self) -> None:
        async with asyncio.timeout(60):
            while True:
                assert self.process.returncode is None
                try:
                    self._reader, self._writer = await asyncio.open_unix_connection(self._path)
                except OSError:
                    await asyncio.sleep(0.01)  # nothing to await: nobody listens yet
                else:
                    return

    async def reserve(self, request_id: str) -> float | None:
        """Returns the start of the reservation; None if the child did not answer."""
        try:
            self._writer.write(f"reserve {request_id}\n".encode())
            answer = await self._reader.readline()
        except ConnectionError:
            return None
        return float(answer) if answer.endswith(b"\n") else None

    async def state(self) -> dict[str, Any]:
        self._writer.write(b"state\n")
        return dict(json.loads(await self._reader.readline()))

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def edge(directory: Path, **options: object) -> AsyncIterator[Edge]:
    with (directory / "edge.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.translator.ledger.edge", str(directory), json.dumps(options)),
            stderr=log,
            env=os.environ | {"PYTHONPATH": "."},
        )
    child = Edge(directory, process)
    try:
        await child.connect()
        yield child
        child.close()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        (directory / "edge.sock").unlink(missing_ok=True)


def lines_of(request_id: str, number: int, at: float) -> tuple[bytes, int]:
    """Returns what Envoy writes about a request that was reserved `at` this time, and its completion tokens.

    The line has the reservation that was made, so that the record is the same when only the line still has it.
    """
    completion = number % 7
    usage = json.dumps({"prompt_tokens": 10, "completion_tokens": completion, "total_tokens": 10 + completion})
    failed = {"failed": "other/gpt=503", "attempts": 2} if number % 5 == 0 else {}
    return request_line(request_id, reservation(request_id, at=at, tag=TAG), usage=usage, **failed), completion


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_killed_at_random_moments(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - shown where the test fails
    chance = random.Random(seed)
    log = EnvoyLog(tmp_path / "ledger" / "access.log")
    (tmp_path / "ledger").mkdir()
    admin = await log.serve_admin(tmp_path / "admin.sock")
    collector = Collector(tmp_path / "control.sock")
    await collector.start()
    options = {"envoy_admin_socket": str(tmp_path / "admin.sock"), "log_rotation": 40_000}
    written: dict[str, int] = {}
    unanswered: set[str] = set()
    number = 0

    async def traffic(child: Edge) -> None:
        nonlocal number
        while True:
            number += 1
            request_id = f"r{number}"
            at = await child.reserve(request_id)
            if at is None:
                unanswered.add(request_id)
                return
            await asyncio.sleep(chance.choice((0, 0, 0.002)))  # requests at different times
            lines, written[request_id] = lines_of(request_id, number, at)
            cut = chance.randrange(len(lines)) if chance.random() < 0.1 else len(lines)
            log.write(lines[:cut])
            if cut < len(lines):
                await asyncio.sleep(0)
                log.write(lines[cut:])

    def done(requests: int, reopened: int) -> bool:
        return number >= requests and log.reopened >= reopened

    for round_ in range(24):
        collector.failures = chance.choice((0, 0, 1, 2))
        if round_ % 6 == 4:
            await collector.stop()
        elif round_ % 6 == 5:
            await collector.start()
        async with edge(tmp_path, **options) as child:
            running = asyncio.create_task(traffic(child))
            # Not by the clock alone: a busy machine would have sent little by then, and rotated nothing.
            goal, reopened = number + chance.randrange(60), log.reopened
            await until(partial(done, goal, reopened + (round_ % 6 == 3)))
            await asyncio.sleep(chance.uniform(0.0, 0.1))  # killed at any moment
            child.process.kill()
            await running
            await child.process.wait()

    async with edge(tmp_path, **options) as child:
        await collector.until(set(written))

        async def only_unanswered() -> bool:
            """A reservation that was killed before its answer may be outstanding; no other."""
            return not set((await child.state())["held"]) - unanswered

        await until_answered(only_unanswered)
        state = await child.state()
        # Once every line is acknowledged, the complete files are deleted.
        await until(lambda: not any((tmp_path / "ledger").glob("access.*.log")))
    admin.close()
    await collector.stop()
    log.close()

    assert len(written) > 500
    assert log.reopened > 1
    # Outstanding reservations count as reserved.
    held = len(state["held"])
    tokens = sum(10 + completion for completion in written.values()) + 100 * held
    cost = 1_000 * (sum(20 + 8 * completion for completion in written.values()) + 500 * held)
    assert state["used"] == [len(written) + held, tokens, cost, held]
    assert set(collector.records) == set(written)
    for request_id, records in collector.records.items():
        first = records[0]
        assert [each for each in records if each != first] == [], first
        assert (first.completion_tokens, first.cost_nano_usd) == (
            written[request_id],
            1_000 * (20 + 8 * written[request_id]),
        )
        assert len(first.failed_attempts) == (int(request_id[1:]) % 5 == 0)
