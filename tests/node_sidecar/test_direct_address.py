"""A direct node resolves its name to an address before it reports to the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest
import structlog

from node_sidecar import direct_address as module
from node_sidecar.direct_address import DirectAddress
from tests.waiting import until

LOG = structlog.get_logger("test")


class Names:
    """Resolves names to one answer after the other; the last one stays."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY", 0.01)
    monkeypatch.setattr(module, "_AGAIN", 0.01)


async def followed(direct_address: DirectAddress, wanted: str) -> None:
    """Waits until the node is known under this address."""
    seen = asyncio.Event()
    direct_address.changed = seen.set
    following = asyncio.create_task(direct_address.follow())
    try:
        async with asyncio.timeout(60):
            while direct_address.address != wanted:
                await seen.wait()
                seen.clear()
            await direct_address.known.wait()
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


@pytest.mark.parametrize("direct", ["", "10.0.0.5:8443", "[fd00::5]:8443"])
async def test_addresses_and_tunnels_need_no_lookup(direct: str) -> None:
    names = Names(OSError("must not be asked"))
    direct_address = DirectAddress(direct, LOG, names)
    await followed(direct_address, direct)
    assert names.asked == []


@pytest.mark.parametrize(
    ("found", "address"),
    [
        (["10.0.0.5"], "10.0.0.5:8443"),
        (["fd00::5", "10.0.0.5", "10.0.0.6"], "10.0.0.5:8443"),
        (["fe80::1%eth0", "fd00::5"], "[fd00::5]:8443"),
    ],
)
async def test_a_name_becomes_an_address(found: list[str], address: str) -> None:
    names = Names(found)
    await followed(DirectAddress("rig.example.org:8443", LOG, names), address)
    assert set(names.asked) == {"rig.example.org"}


async def test_a_name_that_is_unknown_at_first_is_asked_for_again() -> None:
    direct_address = DirectAddress(
        "rig.example.org:8443", LOG, Names(OSError("unknown"), OSError("unknown"), ["10.0.0.5"])
    )
    assert (direct_address.address, direct_address.known.is_set()) == ("", False)
    await followed(direct_address, "10.0.0.5:8443")
    assert direct_address.problem == ""


async def test_a_name_that_moves_is_followed_and_one_that_vanishes_is_kept() -> None:
    gone = OSError("unknown")
    direct_address = DirectAddress(
        "rig.example.org:8443", LOG, Names(["10.0.0.5"], ["10.0.0.7", "10.0.0.5"], ["10.0.0.6"], gone)
    )
    await followed(direct_address, "10.0.0.5:8443")
    await followed(direct_address, "10.0.0.6:8443")
    following = asyncio.create_task(direct_address.follow())
    await until(lambda: direct_address.problem)
    following.cancel()
    assert direct_address.address == "10.0.0.6:8443"
    assert direct_address.problem == "direct: the name rig.example.org cannot be resolved: unknown"
