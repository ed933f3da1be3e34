"""Two whole gateways with one database: together they keep to the quotas of their credentials, and what a provider
tells one of them holds at the other.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import ready
from tests.postgres import new_database
from tests.waiting import until_answered

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

PATIENCE = 120.0
QUOTA = 40
KEY = "sk-key-of-both-gateways"
ENVIRONMENT = {**PROVIDER_CREDENTIALS, "TRUNKLINE_SECRET_KEY": base64.b64encode(bytes(32)).decode()}

Gateways = Sequence[GatewayProcess]


def config(a: ProviderProcess, b: ProviderProcess) -> dict[str, Any]:
    def metered(name: str) -> dict[str, Any]:
        return {**provider_entry(a), "name": name, "quota": [f"requests/1h={QUOTA}"]}

    def route(provider: str) -> dict[str, Any]:
        return {
            "model": provider,
            "targets": [{"provider": provider, "model": "m"}, {"provider": "b", "model": "m", "tier": 1}],
        }

    names = ("metered", "calm", "kept")
    return {
        "version": 1,
        "providers": [provider_entry(b), {**provider_entry(a), "name": "limited"}, *map(metered, names)],
        "routes": [*map(route, names), route("limited")],
        "organisations": [{"name": "acme", "keys": [{"name": "one", "value": KEY}]}],
    }


@pytest.fixture(scope="module")
def gateways(
    tmp_path_factory: pytest.TempPathFactory, provider_a: ProviderProcess, provider_b: ProviderProcess
) -> Iterator[Gateways]:
    directory = tmp_path_factory.mktemp("gw")
    with ExitStack() as stack:
        arguments = ("--database-url", stack.enter_context(new_database()))
        document = config(provider_a, provider_b)
        yield [
            stack.enter_context(
                GatewayProcess(directory / name, given, environment=ENVIRONMENT, arguments=arguments)
            )
            for name, given in (("first", document), ("second", None))
        ]


@asynccontextmanager
async def clients() -> AsyncIterator[Callable[[GatewayProcess, str], Awaitable[str]]]:
    """Returns a client, which returns the target that served its request."""
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:

        async def ask(gateway: GatewayProcess, model: str) -> str:
            body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
            async with session.post(f"{gateway.base_url}/chat/completions", json=body) as answer:
                assert answer.status == 200, await answer.text()
                return answer.headers["x-trunkline-target"]

        yield ask


async def spend(gateways: Gateways, model: str, requests: int) -> Counter[str]:
    """Sends `requests` requests to each gateway, and returns how many each target served."""
    async with clients() as ask:
        served = await asyncio.gather(*(ask(each, model) for each in gateways for _ in range(requests)))
    return Counter(served)


async def used_up(gateways: Gateways, model: str) -> None:
    """Sends requests until the quota is used up, and checks that no more than the quota was served."""
    served: Counter[str] = Counter()
    async with asyncio.timeout(PATIENCE):
        while served[f"{model}/m"] < QUOTA:
            served += await spend(gateways, model, 20)
    assert served[f"{model}/m"] == QUOTA


def reported(gateway: GatewayProcess, path: str) -> Any:
    """Returns the answer of the Admin API, from which REST leaves out zeros."""
    headers = {"authorization": f"Bearer {gateway.credentials['admin_token']}"}
    request = urllib.request.Request(f"{gateway.admin_url}/admin/v1/{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def rows(gateway: GatewayProcess, provider: str) -> list[dict[str, int]]:
    """Returns the rows of a provider's quota, one for each gateway."""
    found = reported(gateway, f"quotas?provider={provider}").get("credentials", ())
    names = ("limit", "remaining", "share", "used")
    return [{name: int(each.get(name, 0)) for name in names} for each in found if each.get("translator")]


async def until(holds: Callable[[], bool]) -> None:
    def tried() -> bool:
        try:
            return holds()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:  # Envoy begins again
            pass
        return False

    await until_answered(lambda: asyncio.to_thread(tried), PATIENCE)


async def shared(gateways: Gateways, provider: str, *shares: int) -> None:
    """Waits until both gateways show these shares of both."""
    await until(
        lambda: all(sorted(row["share"] for row in rows(each, provider)) == [*shares] for each in gateways)
    )


async def test_together_they_keep_to_the_quota(gateways: Gateways) -> None:
    await shared(gateways, "metered", QUOTA // 2, QUOTA // 2)
    # The first one lacks what the second one does not use.
    await used_up(gateways[:1], "metered")
    assert (await spend(gateways, "metered", 20)) == {"b/m": 40}

    def is_shown() -> bool:
        """The second gateway, which lacks some too, gets the first one's share when its use leaves the window."""
        shown = [rows(each, "metered") for each in gateways]
        return all(
            sorted((row["limit"], row["remaining"], row["used"]) for row in each)
            == [(QUOTA, 0, 0), (QUOTA, 0, QUOTA)]
            for each in shown
        )

    await until(is_shown)


async def test_a_restart_forgets_nothing(gateways: Gateways) -> None:
    await shared(gateways, "kept", QUOTA // 2, QUOTA // 2)
    await used_up(gateways, "kept")
    # The translators know of every request.
    await until(lambda: all(row["remaining"] == 0 for each in gateways for row in rows(each, "kept")))
    state = [each.data_dir / "translator" / "quotas" for each in gateways]
    for services in (("envoy",), ("translator",), ("envoy", "translator", "xds_server")):
        for gateway in gateways:
            for name in services:
                gateway.kill(name)
        for gateway in gateways:
            await until_answered(lambda gateway=gateway: ready(gateway), PATIENCE)  # type: ignore[misc]
        served = await spend(gateways, "kept", 20)
        assert served == {"b/m": 40}, (services, [each.read_text() for each in state if each.exists()])


async def test_without_the_control_planes_each_goes_on_with_its_share(gateways: Gateways) -> None:
    await shared(gateways, "calm", QUOTA // 2, QUOTA // 2)
    stopped = [each.service_pid("xds_server") for each in gateways]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        for gateway in gateways:
            assert (await spend([gateway], "calm", QUOTA))["calm/m"] == QUOTA // 2
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


async def test_what_a_provider_tells_one_gateway_holds_at_the_other(
    gateways: Gateways, provider_a: ProviderProcess
) -> None:
    first, second = gateways
    await provider_a.abehave("status:429", retry_after="300", headers={"x-ratelimit-remaining-requests": "0"})
    try:
        assert await spend([first], "limited", 1) == {"b/m": 1}
        asked = len([each for each in await provider_a.arequests() if each.method == "POST"])

        def is_known() -> bool:
            rests = reported(second, "status").get("rests", ())
            return len([each for each in rests if each["subject"] == "limited/m"]) == 2

        await until(is_known)
        assert await spend([second], "limited", 10) == {"b/m": 10}
        assert len([each for each in await provider_a.arequests() if each.method == "POST"]) == asked
    finally:
        await provider_a.abehave("ok")
