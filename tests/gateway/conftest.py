"""Fixtures: providers and a gateway, shared by the tests of one module."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.process import GatewayProcess


@pytest.fixture(scope="module")
def provider_a() -> Iterator[ProviderProcess]:
    with ProviderProcess("a", api_keys=["sk-provider-a"]) as provider:
        yield provider


@pytest.fixture(scope="module")
def provider_b() -> Iterator[ProviderProcess]:
    with ProviderProcess("b", api_keys=["sk-provider-b"]) as provider:
        yield provider


@pytest.fixture
def well_behaved(provider_a: ProviderProcess, provider_b: ProviderProcess) -> Iterator[None]:
    """Lets both providers answer normally again after a test."""
    yield
    for provider in (provider_a, provider_b):
        provider.behave("ok")


def provider_entry(provider: ProviderProcess) -> dict[str, Any]:
    """Returns a provider's entry in trunkline.yaml; the credential comes from PROVIDER_CREDENTIALS."""
    return {
        "name": provider.name,
        "base_url": provider.base_url,
        "credentials": [f"env:TEST_KEY_{provider.name.upper()}"],
    }


#: Values of the `env:` references in `provider_entry`.
PROVIDER_CREDENTIALS = {"TEST_KEY_A": "sk-provider-a", "TEST_KEY_B": "sk-provider-b"}


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess) -> dict[str, Any]:
    """A configuration with two providers; `gpt-4.1` is served by a and backed up by b. Modules override this."""
    return {
        "version": 1,
        "providers": [provider_entry(provider_a), provider_entry(provider_b)],
        "routes": [
            {
                "model": "gpt-4.1",
                "targets": [
                    {"provider": "a", "model": "gpt-4.1"},
                    {"provider": "b", "model": "vendor/gpt-4.1", "tier": 1},
                ],
                "timeouts": {"first_byte": "60s", "idle": "60s", "connect": "5s"},
            }
        ],
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Iterator[GatewayProcess]:
    data_dir: Path = tmp_path_factory.mktemp("gw") / "data"
    with GatewayProcess(data_dir, config, environment=PROVIDER_CREDENTIALS) as running:
        yield running


@pytest.fixture(autouse=True)
def _closed_connections_end(request: pytest.FixtureRequest) -> None:
    """Ends a connection that a test has closed with the test's loop, even if its peer never reads the rest."""
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("_end_closed_connections")


@pytest.fixture
async def _end_closed_connections() -> AsyncIterator[None]:
    yield
    for transport in list(asyncio.get_running_loop()._transports.values()):  # type: ignore[attr-defined]
        if transport.is_closing():
            transport.abort()
    await asyncio.sleep(0)
