"""Importing gRPC late, for several tasks at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import asyncio
from translator import late_imports

async def main():
    names = ["grpc.aio", "translator.reporting", "translator.ledger.shipper", "grpc", "grpc.aio"]
    print([module.__name__ for module in await asyncio.gather(*map(late_imports.load, names))])

asyncio.run(main())
"""


@pytest.mark.processes
def test_tasks_that_load_parts_of_a_package_at_once_get_them_whole() -> None:
    """Without the lock, every other run fails with a deadlock of gRPC's imports."""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True, timeout=100
        )
        assert "translator.ledger.shipper" in done.stdout, done.stderr
