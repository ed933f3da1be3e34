"""The quotas and pauses that a gateway stores: sent to Envoy, and restored after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import structlog
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.requests.v1 import requests_pb2 as pb

from tests.waiting import until
from translator.running.sharing import QuotaKeeper

NOW = 1_800_000_000.0
PAUSE = "p 9 0 429 2 0 1 11 12 13 1 500 20000\n"
SHARE = "s 7 r 60 30 15 4 0:3 2000:5\n"
TOLD = "h 9 requests-day 60 0 20000\n"
REPORT = f"r 9 429 1 500 20000\nq 7 r 60 30 8 0 0\n{TOLD}o 77\n{PAUSE}{SHARE}"
#: The process comes first in what is kept.
KEPT = f"{TOLD}{PAUSE}{SHARE}"


class Envoy:
    """Reports `lines`, and records what it is sent."""

    def __init__(self, *lines: str) -> None:
        self.lines = [each.encode() for each in lines]
        self.taken: list[str] = []
        self.greeting: Callable[[], bytes] | None = None

    async def quotas(self) -> Sequence[bytes]:
        return self.lines

    async def share(self, lines: bytes) -> Sequence[bytes]:
        self.taken.append(lines.decode())
        return self.lines


class Gateway:
    def __init__(self, path: Path, envoy: Envoy) -> None:
        self.now, self.envoy = NOW, envoy
        self.sharing = QuotaKeeper(path, envoy, structlog.get_logger(), lambda: self.now)

    @property
    def greeting(self) -> str:
        assert self.envoy.greeting is not None
        return self.envoy.greeting().decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quotas"


async def test_what_envoy_reports_is_there_for_the_next_one(path: Path) -> None:
    gateway = Gateway(path, Envoy(REPORT, ""))
    assert gateway.greeting == "g 1\n"
    standing = await gateway.sharing.report()
    assert standing.process == 77
    assert standing.uses == [
        pb.QuotaUse(
            account=7, metric=policy.METRIC_REQUESTS, per_seconds=60, amount=30, share=15, used=8, wanted=4
        )
    ]
    (pause,) = standing.pauses
    assert (pause.host, pause.foreign, pause.cause, pause.reach, pause.stated) == (9, False, 429, 2, True)
    assert (pause.organisation, pause.key, pause.user, pause.age_ms, pause.left_ms) == (11, 12, 13, 500, 20_000)
    gateway.now += 3.25
    assert gateway.greeting == f"g 1\no 77 3250\n{KEPT}"


async def test_it_is_there_after_a_restart_of_the_translator(path: Path) -> None:
    before = Gateway(path, Envoy(REPORT))
    await before.sharing.take(pb.Sharing(gateways=3))
    after = Gateway(path, Envoy())
    after.now += 60
    assert after.greeting == f"g 3\no 77 60000\n{KEPT}"
    assert after.sharing.gateway == before.sharing.gateway
    assert path.stat().st_mode & 0o777 == 0o600


async def test_an_envoy_that_is_silent_takes_nothing_away(path: Path) -> None:
    gateway = Gateway(path, Envoy(REPORT))
    await gateway.sharing.report()
    gateway.envoy.lines = []
    assert not (await gateway.sharing.report()).process
    assert gateway.greeting.endswith(KEPT)


async def test_envoy_learns_what_others_share(path: Path) -> None:
    gateway = Gateway(path, Envoy(REPORT))
    share = pb.QuotaShare(account=7, metric=policy.METRIC_TOKENS, per_seconds=60, amount=30, share=10, room_ms=250)
    pause = pb.Pause(
        host=2**64 - 1, cause=429, reach=1, breadth=2, stated=True, key=5, pauses=1, age_ms=100, left_ms=900
    )
    found = await gateway.sharing.take(pb.Sharing(gateways=2, shares=[share], pauses=[pause]))
    assert gateway.envoy.taken == [f"g 2\na 7 t 60 30 10 250\np {2**64 - 1} 1 429 1 2 1 0 5 0 1 100 900\n"]
    assert found.process == 77


async def test_it_is_stored_when_it_changes_and_not_as_it_ages(path: Path) -> None:
    gateway = Gateway(path, Envoy(REPORT))
    await gateway.sharing.take(pb.Sharing(gateways=1))
    written = path.stat().st_ino
    await gateway.sharing.take(pb.Sharing(gateways=1))
    gateway.envoy.lines = [REPORT.replace("20000\n", "19000\n").replace("2000:5", "3000:5").encode()]
    await gateway.sharing.take(pb.Sharing(gateways=1))
    assert path.stat().st_ino == written
    gateway.envoy.lines = [REPORT.replace("2000:5", "3000:6").encode()]
    await gateway.sharing.take(pb.Sharing(gateways=1))
    assert "3000:6" in path.read_text()


async def test_envoy_is_asked_without_the_control_plane_too(path: Path) -> None:
    running = asyncio.create_task(Gateway(path, Envoy(REPORT)).sharing.run())
    await until(path.exists)
    running.cancel()
    assert SHARE in path.read_text()


@pytest.mark.parametrize(
    "content",
    ["", "else\n", "trunkline quotas 1\n", "trunkline quotas 1\nab\nx y z\n", "trunkline quotas 9\nab\n1 2 3\n"],
)
def test_a_damaged_file_is_no_reason_not_to_begin(path: Path, content: str) -> None:
    path.write_text(content)
    assert Gateway(path, Envoy()).greeting == "g 1\n"


async def test_a_gateway_that_drains_says_so(path: Path) -> None:
    draining = False
    keeper = QuotaKeeper(path, Envoy(REPORT), structlog.get_logger(), draining=lambda: draining)
    assert not (await keeper.report()).leaving
    draining = True
    assert (await keeper.report()).leaving


async def test_lines_of_another_version_do_no_harm(path: Path) -> None:
    path.write_text("trunkline quotas 1\nab\n2 1000 77\ns\ns 1 2 3 4 5 6 7 8:9 a:b :c\np 1\nh\nx\n\n")
    gateway = Gateway(path, Envoy())
    await gateway.sharing.take(pb.Sharing(gateways=2))
    assert gateway.sharing.gateway == "ab"


async def test_a_disk_without_room_is_no_reason_to_stop(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "missing" / "quotas", Envoy(REPORT))
    assert (await gateway.sharing.take(pb.Sharing(gateways=2))).process == 77
