from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.node_sidecar.llama import llama, tiny_model
from tests.node_sidecar.support.registry import Gateway

__all__ = ["gateway", "llama", "tiny_model"]


@pytest.fixture(scope="module")
def local_server() -> Iterator[ProviderProcess]:
    with ProviderProcess("local") as provider:
        yield provider


@pytest.fixture
def provider(local_server: ProviderProcess) -> ProviderProcess:
    """A local server that answers normally and has no requests of other tests."""
    local_server.behave("ok")
    local_server.clear()
    return local_server


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path / "gateway") as running:
        yield running
