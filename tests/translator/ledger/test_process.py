"""The translator itself, killed while it authorises: everything that Envoy logged is shipped and settled."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.translator import policies
from tests.translator.control_plane import ControlPlane
from tests.translator.ledger.collecting import Collector
from tests.translator.ledger.writing import EnvoyLog, request_line
from tests.translator.test_process import Translator
from tests.waiting import until, until_answered

pytestmark = pytest.mark.processes

CHAT = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hello"}]}


@asynccontextmanager
async def translator(directory: Path) -> AsyncIterator[Translator]:
    path, log = directory / "t.sock", directory / "log"
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "translator", "--control", f"unix:{directory}/ads", "--id", "t1"),
            *("--state-dir", str(directory / "state"), "--ledger-dir", str(directory / "ledger")),
            *("--socket", str(path), "--limits-interval", "0.1"),
            stderr=stderr,
            env=dict(os.environ),
        )
    try:
        yield Translator(process, path, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def authorise(child: Translator, request_id: str) -> str | None:
    """Returns the log context; None if the translator was killed before it answered."""
    try:
        answer = await child.decide(CHAT, x_request_id=request_id)
    except (OSError, EOFError):
        return None
    assert answer.status == 200
    return answer.log_context


async def test_killed_while_it_authorises(tmp_path: Path) -> None:
    chance = random.Random(os.urandom(8))
    control = ControlPlane(f"unix:{tmp_path}/ads", policies.organisation(), policies.key(), policies.route())
    async with control, translator(tmp_path) as child:
        await control.start()
        await child.until_ready()
        child.process.terminate()
        assert await child.process.wait() == 0
    collector = Collector(tmp_path / "ads")
    await collector.start()
    log = EnvoyLog(tmp_path / "ledger" / "access.log")
    served: set[str] = set()
    unanswered = 0

    async def traffic(child: Translator, round_: int) -> None:
        nonlocal unanswered
        for number in range(1_000_000):
            request_id = f"r{round_}-{number}"
            noted = await authorise(child, request_id)
            if noted is None:
                unanswered += 1
                return
            log.write(request_line(request_id, note=noted))
            served.add(request_id)

    def have_been(number: int) -> bool:
        return len(served) >= number

    for round_ in range(6):
        async with translator(tmp_path) as child:
            await child.until_ready()
            running = asyncio.create_task(traffic(child, round_))
            # Not by the clock alone: a busy machine would have answered few requests by then.
            await until(partial(have_been, len(served) + (21 if round_ == 3 else chance.randrange(10))))
            await asyncio.sleep(chance.uniform(0.0, 0.1))  # killed at any moment
            child.process.kill()
            await running
    async with translator(tmp_path) as child:
        await collector.until(served)

        async def all_stored() -> dict[str, Any] | None:
            ledger: dict[str, Any] = (await child.until_ready())["ledger"]
            # The journal may have reservations of requests whose translator was killed before it answered.
            return ledger if ledger["records_pending"] == 0 and ledger["reservations"] <= unanswered else None

        ledger = await until_answered(all_stored)
        assert ledger is not None
        reader, writer = await asyncio.open_unix_connection(str(child.path))
        writer.write(b"GET /metrics HTTP/1.1\r\nconnection: close\r\n\r\n")
        metrics = (await reader.read()).decode()
        writer.close()
        assert f"\ntrunkline_translator_reservations {float(ledger['reservations'])}\n" in metrics
    await collector.stop()
    log.close()
    assert len(served) > 20
    assert set(collector.records) == served
    assert all(each == same[0] for same in collector.records.values() for each in same)
