"""Bodies read in separate processes, which are killed, and which read bodies made to kill them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import structlog
from structlog.testing import capture_logs

from tests.translator.reading import attacks
from tests.waiting import until
from translator import endpoints
from translator.bodies import prefix
from translator.bodies.conversation import digest
from translator.bodies.facts import BodyFacts, read
from translator.endpoints import Endpoint
from translator.errors import Refusal
from translator.reading import pool as pools, process
from translator.reading.pool import ReadingPool

pytestmark = pytest.mark.processes

FOUND = endpoints.find(b"/v1/chat/completions")
assert FOUND is not None
CHAT = FOUND
SMALL = b'{"model":"m","user":"u","stream":true,"max_tokens":5}'
#: Takes more CPU than the processes of `strict` have for one body, but less memory than they may use.
MONSTER = attacks.JSON["quotes"](31 << 20)
STRICT = 0.05


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a body take long on a busy machine, where these processes come last. Its CPU time stays bounded."""
    monkeypatch.setattr(process, "_READING", 120.0)


@pytest.fixture
async def pool() -> AsyncIterator[ReadingPool]:
    made = ReadingPool(structlog.get_logger())
    yield made
    await made.close()


@pytest.fixture
async def strict() -> AsyncIterator[ReadingPool]:
    """A pool whose processes die from a large body."""
    made = ReadingPool(structlog.get_logger(), cpu=STRICT)
    yield made
    await made.close()


def facts_of(body: bytes, content_type: bytes, endpoint: Endpoint) -> BodyFacts:
    """Returns the facts that a reading process finds in the body."""
    facts, values = read(body, content_type, endpoint)
    opening = prefix.opening(body, values, endpoint) if values else 0
    return msgspec.structs.replace(facts, head=digest(values), opening=opening)


def processes() -> set[int]:
    """Returns the reading processes of this process."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if b"translator.reading.worker\0%d\0" % os.getpid() in (path / "cmdline").read_bytes():
                found.add(int(path.name))
        except OSError:
            continue
    return found


async def test_the_facts_are_the_same_as_here(pool: ReadingPool) -> None:
    result = await pool.read("a", CHAT, b"application/json", (SMALL[:10], SMALL[10:]))
    assert result.facts == facts_of(SMALL, b"", CHAT)
    form = (Path(__file__).parents[1] / "bodies" / "forms" / "curl.form").read_bytes()
    content_type, _, body = form.partition(b"\n")
    transcriptions = endpoints.find(b"/v1/audio/transcriptions")
    assert transcriptions is not None
    result = await pool.read("a", transcriptions, content_type, (body,))
    assert result.facts == facts_of(body, content_type, transcriptions)
    assert len(processes()) == 1


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model":"m","Model":"x"}', b'{"model":"m","stream":"x"}'])
async def test_so_are_refusals(pool: ReadingPool, body: bytes) -> None:
    with pytest.raises(Refusal) as here:
        read(body, b"", CHAT)
    result = await pool.read("a", CHAT, b"", (body,))
    assert result.facts is None
    assert result.refusal().response() == here.value.response()


async def test_a_body_that_takes_too_much_is_refused_and_the_next_one_is_read(strict: ReadingPool) -> None:
    with capture_logs() as logs:
        result = await strict.read("a", CHAT, b"", (MONSTER,))
    assert result.facts is None
    assert (result.refusal().status, result.refusal().code) == (400, "body_too_complex")
    assert result.seconds > 0
    assert "m" not in {entry.get("reason") for entry in logs}
    assert (await strict.read("a", CHAT, b"", (SMALL,))).facts == facts_of(SMALL, b"", CHAT)


async def test_a_body_of_too_many_values_is_refused_before_it_takes_much(pool: ReadingPool) -> None:
    for name in ("lists", "objects", "keys", "integers"):
        result = await pool.read("a", CHAT, b"", (attacks.JSON[name](28 << 20),))
        assert (result.facts, result.code, result.last) == (None, "body_too_complex", False), name


async def test_a_large_honest_body_is_read(pool: ReadingPool) -> None:
    for name in ("text", "base64", "quotes", "escapes"):
        body = attacks.JSON[name](31 << 20)
        pieces = tuple(body[at : at + 262_144] for at in range(0, len(body), 262_144))
        result = await pool.read("a", CHAT, b"", pieces)
        assert result.facts is not None, (name, result)
        assert result.facts.estimate.prompt > 1_000_000


async def test_monsters_of_one_key_leave_room_for_others(pool: ReadingPool) -> None:
    monsters = [asyncio.create_task(pool.read("a", CHAT, b"", (MONSTER,))) for _ in range(6)]
    await until(lambda: len(processes()) == 2)
    for pid in processes():
        os.kill(pid, signal.SIGSTOP)  # so that they take longer than anything else here
    honest = await pool.read("b", CHAT, b"", (SMALL,))
    assert honest.facts is not None
    assert not all(each.done() for each in monsters)
    for each in monsters:
        each.cancel()
    await asyncio.gather(*monsters, return_exceptions=True)


async def test_a_body_that_nobody_waits_for_is_charged_all_the_same(strict: ReadingPool) -> None:
    charged = asyncio.get_running_loop().create_future()
    strict.on_abandoned = lambda key, seconds: charged.set_result((key, seconds))
    reading = asyncio.create_task(strict.read("a", CHAT, b"", (MONSTER,)))
    await until(processes)
    reading.cancel()
    key, seconds = await charged
    assert key == "a"
    assert seconds > 0


async def test_a_process_that_somebody_kills_is_replaced(pool: ReadingPool) -> None:
    await pool.read("a", CHAT, b"", (SMALL,))
    (pid,) = processes()
    os.kill(pid, signal.SIGKILL)
    # It has no command line from a moment before its end on, which therefore says nothing.
    await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert (await pool.read("a", CHAT, b"", (SMALL,))).facts is not None
    assert pid not in processes()


async def test_the_processes_end_with_the_pool() -> None:
    pool = ReadingPool(structlog.get_logger())
    await pool.read("a", CHAT, b"", (SMALL,))
    waiting = [asyncio.create_task(pool.read("a", CHAT, b"", (MONSTER,))) for _ in range(4)]
    await asyncio.sleep(0)
    assert processes()
    await pool.close()
    assert not processes()
    for each in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(each, Refusal)
        assert each.status == 503


async def test_those_that_have_nothing_to_do_end_but_one(
    pool: ReadingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_IDLE", 0.05)
    await asyncio.gather(*(pool.read(key, CHAT, b"", (SMALL,)) for key in "abc"))
    await until(lambda: len(processes()) <= 1)
    assert (await pool.read("a", CHAT, b"", (SMALL,))).facts is not None


async def test_a_process_holds_no_secret(pool: ReadingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    await pool.read("a", CHAT, b"", (SMALL,))
    (pid,) = processes()
    proc = Path(f"/proc/{pid}")
    assert b"secret" not in (proc / "environ").read_bytes()
    open_files = {str(each.readlink()) for each in (proc / "fd").iterdir()}
    assert all(each == "/dev/null" or each.startswith("socket:") for each in open_files), open_files


async def test_without_any_process_the_client_is_asked_to_come_back(
    pool: ReadingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(Refusal) as caught:
        await pool.read("a", CHAT, b"", (SMALL,))
    assert (caught.value.status, caught.value.headers["retry-after"]) == (503, "1")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Refusal) as caught:
        await pool.read("a", CHAT, b"", (SMALL,))
    assert caught.value.status == 503


#: Reads one enormous body after the other, and says when reading has begun.
PARENT = """
    import asyncio, structlog
    from tests.translator.reading.test_pool import CHAT, MONSTER, SMALL, processes
    from translator.reading.pool import ReadingPool

    async def main():
        pool = ReadingPool(structlog.get_logger())
        await pool.read("a", CHAT, b"", (SMALL,))
        printing = asyncio.create_task(tell())
        while True:
            await pool.read("a", CHAT, b"", (MONSTER,))

    async def tell():
        await asyncio.sleep(0.2)
        while not (found := processes()):  # one may end after a body that has taken much memory
            await asyncio.sleep(0.01)
        print(*found, flush=True)

    asyncio.run(main())
"""


def test_the_processes_die_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PARENT)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert pids
    parent.kill()
    parent.wait()
    parent.stdout.close()
    while any(_runs(pid) for pid in pids):
        pass


def _runs(pid: int) -> bool:
    try:
        return b"translator.reading.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
