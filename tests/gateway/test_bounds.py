"""The memory that strangers, and callers with a key, can make Envoy hold, while the requests of
others continue.
"""

from __future__ import annotations

import asyncio
import io
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.hoarding import Hoard, Upload, resident
from tests.gateway.http2_floods import FLOODS, PATIENCE, flood
from tests.gateway.process import GatewayProcess
from tests.waiting import until, until_answered

MIB = 1024 * 1024
#: Envoy's memory, with which a key may hold 32 MiB of bodies, all keys together 128 MiB, and strangers 32 MiB.
MEMORY = "512MiB"
#: Generous: Envoy alone has some 70 MiB, and a body is there twice while it is checked.
MAX = 450 * MIB
KEYS = ("victim", "greedy", "other1", "other2", "other3", "other4", "late")


def key_of(name: str) -> str:
    return f"sk-key-of-{name}-1234"


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [{"model": "gpt-4.1", "targets": [{"provider": "a", "model": "gpt-4.1"}]}],
        "organisations": [{"name": name, "keys": [{"name": "k", "value": key_of(name)}]} for name in KEYS],
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Iterator[GatewayProcess]:
    data_dir: Path = tmp_path_factory.mktemp("gw") / "data"
    arguments = ("--envoy-memory", MEMORY)
    with GatewayProcess(data_dir, config, environment=PROVIDER_CREDENTIALS, arguments=arguments) as running:
        yield running


async def passes(gateway: GatewayProcess, name: str, size: int) -> bool:
    status, _ = await ask(gateway, name, size)
    return status == 200


async def ask(gateway: GatewayProcess, name: str, size: int = 500) -> tuple[int, Any]:
    """Sends a request with a body of about `size` bytes. Returns its status and answer."""
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "x" * size}]}
    timeout = aiohttp.ClientTimeout(total=200)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(
            f"{gateway.base_url}/chat/completions",
            data=io.BytesIO(json.dumps(body).encode()),
            headers={
                "authorization": f"Bearer {key_of(name)}",
                "content-type": "application/json",
                "connection": "close",
            },
        ) as response,
    ):
        return response.status, await response.json()


@asynccontextmanager
async def watched(gateway: GatewayProcess) -> AsyncIterator[None]:
    """Asserts that Envoy stays within `MAX`, and that the victim's requests all succeed meanwhile."""
    envoy, peak, done, statuses = gateway.service_pid("envoy"), 0, asyncio.Event(), Counter[int]()

    async def follow() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, resident(envoy))
            statuses[(await ask(gateway, "victim"))[0]] += 1

    following = asyncio.create_task(follow())
    try:
        yield
        before = statuses.total()
        await until(lambda: following.done() or statuses.total() >= before + 3)
    finally:
        done.set()
        await following
    assert statuses.keys() == {200}
    assert peak < MAX, f"Envoy had {peak // MIB} MiB"
    assert gateway.service_pid("envoy") == envoy


def codes(answers: list[tuple[int, bytes]]) -> Counter[tuple[int, str]]:
    """Counts status and code of answers in OpenAI's shape."""
    found = Counter[tuple[int, str]]()
    for status, body in answers:
        error = json.loads(body)["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert error["message"]
        found[status, error["code"]] += 1
    return found


LONG = Upload(30 * MIB, 4 * MIB)
UNKNOWN = Upload(None, 4 * MIB)
SMALL = Upload(64 * 1024, 60 * 1024, piece=4096)
CRUMBS = Upload(64 * 1024, 50 * 1024, piece=600)
NOTHING = Upload(1, 0)


@pytest.mark.parametrize(("upload", "connections"), [(LONG, 150), (UNKNOWN, 150), (SMALL, 1500), (CRUMBS, 700)])
async def test_strangers_on_http1(gateway: GatewayProcess, upload: Upload, connections: int) -> None:
    waited_for = 0 if upload in {LONG, UNKNOWN} else 32 * MIB // (64 * 1024)  # bodies up to 32 MiB in total
    async with watched(gateway), Hoard(gateway.address) as strangers:
        await strangers.http1(connections, upload)
        await strangers.answered(connections - waited_for)
    assert codes(strangers.answers).keys() == {(401, "invalid_api_key")}


@pytest.mark.parametrize(
    ("upload", "connections", "waited_for"),
    [
        (LONG, 20, 0),
        (UNKNOWN, 20, 0),
        (SMALL, 20, 32 * MIB // (64 * 1024)),
        (NOTHING, 60, 32 * MIB // (16 * 1024)),
    ],
)
async def test_strangers_on_http2_with_many_streams(
    gateway: GatewayProcess, upload: Upload, connections: int, waited_for: int
) -> None:
    async with watched(gateway), Hoard(gateway.address) as strangers:
        await strangers.http2(connections, 100, upload)
        await strangers.answered(100 * connections - waited_for)
    assert codes(strangers.answers).keys() == {(401, "invalid_api_key")}


@pytest.mark.parametrize("name", FLOODS)
async def test_floods_of_frames(gateway: GatewayProcess, name: str) -> None:
    async with watched(gateway), asyncio.timeout(PATIENCE):
        await asyncio.gather(*(flood(gateway.address, FLOODS[name](key_of("greedy"))) for _ in range(4)))
    assert (await ask(gateway, "greedy"))[0] == 200


@pytest.mark.parametrize("length", [8 * MIB, None])
async def test_a_key_holds_no_more_than_its_bound(gateway: GatewayProcess, length: int | None) -> None:
    upload = Upload(length, 8 * MIB - 65_536, piece=65_536, key=key_of("greedy"))
    async with watched(gateway), Hoard(gateway.address) as greedy:
        await greedy.http1(40, upload)
        await greedy.answered(36)
        assert codes(greedy.answers).keys() == {(429, "too_many_bytes_in_flight")}
        if length is not None:  # otherwise the remaining ones may hold less
            status, answer = await ask(gateway, "greedy", 8 * MIB)
            assert (status, answer["error"]["code"]) == (429, "too_many_bytes_in_flight")
        assert (await ask(gateway, "greedy"))[0] == 200  # small requests pass
        assert (await ask(gateway, "late", 8 * MIB))[0] == 200
    await until_answered(lambda: passes(gateway, "greedy", 8 * MIB))  # Envoy has noticed that they left


async def test_all_keys_hold_no_more_than_theirs(gateway: GatewayProcess) -> None:
    async with watched(gateway), Hoard(gateway.address) as others:
        for name in KEYS:
            if name.startswith("other"):
                await others.http1(4, Upload(8 * MIB, 8 * MIB - 65_536, piece=65_536, key=key_of(name)))
        await until(lambda: others.uploaded == 16)
        assert others.answers == []
        status, answer = await ask(gateway, "late", 8 * MIB)
        assert (status, answer["error"]["code"]) == (503, "gateway_overloaded")
        assert (await ask(gateway, "late"))[0] == 200
    await until_answered(lambda: passes(gateway, "late", 8 * MIB))


async def test_a_body_over_the_limit_is_refused(gateway: GatewayProcess) -> None:
    async with watched(gateway), Hoard(gateway.address) as large:
        await large.http1(1, Upload(33 * MIB, 0, key=key_of("late")))
        await large.http1(1, Upload(None, 33 * MIB, piece=65_536, key=key_of("greedy")))
        await large.answered(2)
    assert codes(large.answers) == {(413, "request_too_large"): 2}


async def test_nothing_is_read_while_the_translator_does_not_answer(gateway: GatewayProcess) -> None:
    """Strangers are not refused then, but nothing is read from them either."""
    envoy = gateway.service_pid("envoy")
    before = resident(envoy)
    async with Hoard(gateway.address) as strangers:
        gateway.kill("translator", signal.SIGSTOP)
        try:
            await strangers.http1(150, UNKNOWN)
            await strangers.http2(5, 100, LONG)
            assert resident(envoy) - before < 150 * MIB
        finally:
            gateway.kill("translator", signal.SIGCONT)
        await strangers.answered(150)
    assert {code for _, code in codes(strangers.answers)} <= {
        *("invalid_api_key", "policy_unavailable", "gateway_overloaded")
    }
    assert (await ask(gateway, "victim"))[0] == 200


async def test_clients_take_only_so_many_connections_and_operators_get_in(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    arguments = ("--envoy-memory", "256MiB")
    with GatewayProcess(
        tmp_path / "data", config, environment=PROVIDER_CREDENTIALS, arguments=arguments
    ) as gateway:
        async with Hoard(gateway.address) as crowd:
            assert await crowd.idle(4096 + 50, closed=40) <= 60
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{gateway.admin_url}/healthz") as response:
                    assert response.status == 200
                with pytest.raises(aiohttp.ClientError):
                    await session.get(f"{gateway.origin}/v1/models")
        while True:
            try:
                assert (await ask(gateway, "victim"))[0] == 200
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)  # Envoy may close connections for a while
            else:
                break
