"""Bodies made to take long to read, and requests of others meanwhile."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.translator.reading import attacks

ATTACKER, VICTIM = "sk-attacker-0123456789abcdef", "sk-victim-0123456789abcdef"
LARGE = 28 << 20
#: Seconds. It was ten when such bodies were read in the process that decides about all requests.
LONGEST = 3.0


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


async def post(session: aiohttp.ClientSession, url: str, key: str, body: bytes) -> tuple[int, float]:
    """Sends a body. Returns the status, and the seconds until the answer."""
    begun = time.monotonic()
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    async with session.post(f"{url}/chat/completions", data=io.BytesIO(body), headers=headers) as answer:
        await answer.read()
        return answer.status, time.monotonic() - begun


async def test_others_are_served_meanwhile(gateway: GatewayProcess) -> None:
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
        taken = []
        while not all(each.done() for each in hostile):
            status, seconds = await post(session, gateway.base_url, VICTIM, small)
            assert status == 200
            taken.append(seconds)
        status, seconds = await post(session, gateway.base_url, VICTIM, honest)
        assert status == 200
        assert {status for status, _ in await asyncio.gather(*hostile)} <= {400, 404}
    assert max(taken) < LONGEST
