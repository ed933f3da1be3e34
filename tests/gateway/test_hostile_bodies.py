"""Bodies made to take long to read, and requests of others meanwhile."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.translator.reading import attacks
from tests.waiting import until

ATTACKER, VICTIM = "sk-attacker-0123456789abcdef", "sk-victim-0123456789abcdef"
LARGE = 28 << 20
#: Bodies of one key that are read at a time, each in a process of its own.
AT_A_TIME = 2


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [{"model": "gpt-4.1", "targets": [{"provider": "a", "model": "gpt-4.1"}]}],
        "organisations": [
            {"name": name, "keys": [{"name": "k", "value": value}]}
            for name, value in (("attacker", ATTACKER), ("victim", VICTIM))
        ],
    }


async def post(session: aiohttp.ClientSession, url: str, key: str, body: bytes) -> int:
    """Sends a body. Returns the status."""
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    async with session.post(f"{url}/chat/completions", data=io.BytesIO(body), headers=headers) as answer:
        await answer.read()
        return answer.status


def readers(gateway: GatewayProcess) -> list[int]:
    """Returns the processes in which the translator reads bodies."""
    translator, found = gateway.service_pid("translator"), []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == translator and b"translator.reading.worker" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it is no process, or has ended
    return found


def tell(pid: int, number: signal.Signals) -> None:
    """Sends a signal to a process, which may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


async def test_others_are_served_meanwhile(gateway: GatewayProcess) -> None:
    """No other request waits for the processes that read an attacker's bodies, however long these take."""
    small = b'{"model":"gpt-4.1","messages":[{"role":"user","content":"hi"}]}'
    honest = (
        b'{"messages":[{"role":"user","content":"'
        + b"All work and no play. " * 230_000
        + b'"}],"model":"gpt-4.1"}'
    )
    async with aiohttp.ClientSession() as session:
        hostile = [
            asyncio.create_task(post(session, gateway.base_url, ATTACKER, attacks.JSON[name](LARGE)))
            for name in ("lists", "keys", "objects")
        ]
        stopped: set[int] = set()

        def all_stand_still() -> bool:
            for pid in set(readers(gateway)) - stopped:
                tell(pid, signal.SIGSTOP)
                stopped.add(pid)
            return len(stopped) >= AT_A_TIME or all(each.done() for each in hostile)

        try:
            await until(all_stand_still)
            assert stopped, "the bodies were read in the process that decides about all requests"
            for _ in range(20):
                assert await post(session, gateway.base_url, VICTIM, small) == 200
        finally:
            for pid in stopped:
                tell(pid, signal.SIGCONT)
        assert await post(session, gateway.base_url, VICTIM, honest) == 200
        # Refused for what they are, or because their readers stood still for too long.
        assert min(await asyncio.gather(*hostile)) >= 400
