from __future__ import annotations

import asyncio

import pytest

from xds_server.debounce import Debounce


@pytest.mark.slow
async def test_a_burst_is_one_action() -> None:
    acted = asyncio.Event()
    count = 0

    def action() -> None:
        nonlocal count
        count += 1
        acted.set()

    debounce = Debounce(action, quiet=0.5, longest=60)
    for _ in range(10):
        debounce.trigger()
        await asyncio.sleep(0)
    await acted.wait()
    assert count == 1
    acted.clear()
    debounce.trigger()
    await acted.wait()
    assert count == 2


async def test_what_never_gets_quiet_is_acted_on_all_the_same() -> None:
    acted = asyncio.Event()
    debounce = Debounce(acted.set, quiet=60, longest=0.05)

    async def keep_on() -> None:
        while not acted.is_set():
            debounce.trigger()
            await asyncio.sleep(0.005)  # more often than the quiet time

    async with asyncio.timeout(60):
        await keep_on()


async def test_cancelled() -> None:
    acted = asyncio.Event()
    debounce = Debounce(acted.set, quiet=0, longest=0)
    debounce.trigger()
    debounce.cancel()
    later = asyncio.Event()
    Debounce(later.set, quiet=0.01, longest=0.01).trigger()
    await later.wait()
    assert not acted.is_set()
