"""How long one request can delay others: the CPU time of the loop's longest step, under every attack."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest
import structlog

from tests.translator import policies
from tests.translator.asking import UPGRADE, check
from tests.translator.reading import attacks
from translator.authorise import Authoriser
from translator.checks.session import PROTOCOL, CheckSession
from translator.http.server import Server
from translator.limits import Limiter
from translator.metering import Meter
from translator.reading.pool import ReadingPool
from translator.service import Service

pytestmark = pytest.mark.processes

MAX_BODY = 32 << 20
#: Seconds of CPU. On an idle machine, the longest step takes a fifth of that.
LONGEST = 0.02
#: How often a body is sent that seems to take longer: what a host takes from a virtual machine counts as CPU time.
TIMES = 10


class Steps:
    """Measures the longest step of the running loop, in seconds of its thread's CPU time, which other processes do
    not affect.
    """

    longest = 0.0


@pytest.fixture(autouse=True)
def _frozen() -> Iterator[None]:
    """Keeps the collector from scanning existing objects, as the application does."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@contextmanager
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    steps = Steps()
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        begun = time.thread_time()
        run(handle)
        steps.longest = max(steps.longest, time.thread_time() - begun)

    with monkeypatch.context() as patch:
        patch.setattr(asyncio.Handle, "_run", timed)
        yield steps


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[None]:
    store, log = policies.default_store(), structlog.get_logger()
    pool = ReadingPool(log)
    authoriser = Authoriser(store, Meter(Limiter(store.limits_by_id)), body_reader=pool)
    service = Service(store, authoriser, log)
    server = Server(
        service.handle,
        MAX_BODY,
        {PROTOCOL: partial(CheckSession, service, lambda: None, MAX_BODY, log)},
    )
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    await server.start(sock)
    try:
        # The first process takes time to start, which is not part of any attack.
        await asyncio.to_thread(
            ask, path, "/v1/chat/completions", "", b'{"model":"m","x":"' + b"x" * 300_000 + b'"}'
        )
        yield
    finally:
        await server.stop(0.0)
        await pool.close()


def ask(path: Path, target: str, content_type: str, body: bytes) -> int:
    """Returns the status of a request that is sent from another thread."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        with sock.makefile("rb") as answers:
            sock.sendall(UPGRADE)
            while answers.readline() != b"\r\n":
                pass
            sock.sendall(check(1, body, target=target, content_type=content_type))
            _, _, status, _ = struct.unpack("<IQHI", answers.read(18))
            return int(status)


#: The largest bodies that are read on the loop, of JSON and of forms; those that are examined first; long ones.
@pytest.mark.parametrize("size", [8_192, 24_576, 250_000, 5 << 20])
async def test_no_body_keeps_others_waiting(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    longest = {}
    async with serving(tmp_path / "s"):
        for name, target, content_type, body in attacks.shapes(size):
            longest[name] = LONGEST + 1
            for _ in range(TIMES):
                with measured(monkeypatch) as steps:
                    status = await asyncio.to_thread(ask, tmp_path / "s", target, content_type, body)
                assert status in {400, 404}, name  # there is no model `m`
                longest[name] = min(longest[name], steps.longest)
                if longest[name] <= LONGEST:
                    break
    assert {name: taken for name, taken in longest.items() if taken > LONGEST} == {}


async def test_nor_does_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = attacks.JSON["lists"](28 << 20)
    longest: list[float] = []
    async with serving(tmp_path / "s"):
        while len(longest) < TIMES and not any(each < LONGEST for each in longest):
            with measured(monkeypatch) as steps:
                asked = [
                    asyncio.to_thread(ask, tmp_path / "s", "/v1/chat/completions", "application/json", body)
                    for _ in range(3)
                ]
                assert set(await asyncio.gather(*asked)) <= {400, 404}
            longest.append(steps.longest)
    assert min(longest) < LONGEST
