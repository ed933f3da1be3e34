from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.node_sidecar.llama import llama, tiny_model
from tests.node_sidecar.support.registry import Gateway

__all__ = ["gateway", "llama", "tiny_model"]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path / "gateway") as running:
        yield running
