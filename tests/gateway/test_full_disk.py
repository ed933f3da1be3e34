"""The disk of Envoy's log is full: traffic continues, limits hold, the state is reported, and ends when there is
space.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import exported, metrics, ready, settled
from tests.waiting import until_answered

KEY = "sk-acme-full-disk-key-1234"
BUDGET = 100
#: The number of requests whose lines need more than the rest of the log's last page.
DURING = 80
MIB = 1 << 20
#: More than the translator's bound for a full disk, less than its bound for a low one.
DISK_MIB = 80
#: A file system that only the gateway sees, and that ends with it. Users other than root are root in there.
MOUNT = 'mkdir -p "$1" && mount -t tmpfs -o "size=$2" ledger "$1" && shift 2 && exec "$@"'
PRIVATE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")))


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    target = {"provider": "a", "model": "plain", "price": {"input": 1.0, "output": 2.0}}
    limit = {"metric": "requests", "per": "366d", "amount": BUDGET}
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [{"model": "plain", "targets": [target]}],
        "organisations": [{"name": "acme", "limits": [limit], "keys": [{"name": "ci", "value": KEY}]}],
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Iterator[GatewayProcess]:
    data_dir = tmp_path_factory.mktemp("gw") / "data"
    launcher = (*PRIVATE, "sh", "-c", MOUNT, "sh", str(data_dir / "ledger"), f"{DISK_MIB}m")
    with GatewayProcess(data_dir, config, environment=PROVIDER_CREDENTIALS, launcher=launcher) as running:
        yield running


def filler(gateway: GatewayProcess) -> Path:
    """Returns a file in the gateway's own view of the file system."""
    return Path(f"/proc/{gateway.pid}/root{gateway.data_dir}/ledger/filler")


def fill(path: Path) -> None:
    """Writes until not one byte more fits."""
    with path.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)


async def ask(gateway: GatewayProcess, times: int) -> dict[str, int]:
    """Sends one request after the other. Returns statuses by request id."""
    body = {"model": "plain", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
    answered = {}
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        for _ in range(times):
            async with session.post(f"{gateway.base_url}/chat/completions", json=body) as answer:
                await answer.read()
                answered[answer.headers["x-request-id"]] = answer.status
    return answered


async def until(gateway: GatewayProcess, condition: Callable[[dict[str, Any]], bool]) -> None:
    """Waits until `condition` holds for the state of the ledger in `/readyz`."""

    async def holds() -> bool:
        return condition((await ready(gateway)).get("ledger", {"disk": ""}))

    await until_answered(holds)


async def envoy_cannot_write(gateway: GatewayProcess) -> None:
    """Waits until Envoy cannot write: it writes its lines some time after the answers."""

    async def failed() -> float:
        return (await metrics(gateway, "/metrics"))["envoy_filesystem_write_failed{}"]

    await until_answered(failed)


async def test_limits_hold_and_traffic_goes_on_while_the_disk_is_full(gateway: GatewayProcess) -> None:
    before = await ask(gateway, 10)
    await settled(gateway)
    await until(gateway, lambda ledger: ledger["disk"] == "low")

    await asyncio.to_thread(fill, filler(gateway))
    await until(gateway, lambda ledger: ledger["disk"] == "full" and ledger["disk_free_bytes"] == 0)
    during = await ask(gateway, DURING)
    await envoy_cannot_write(gateway)
    scraped = await metrics(gateway)
    assert scraped['trunkline_translator_disk_state{state="full"}'] == 1
    assert scraped["trunkline_translator_journal_errors_total"] >= DURING
    assert scraped["trunkline_translator_reservations"] >= 1

    filler(gateway).unlink()
    await until(gateway, lambda ledger: ledger["disk"] == "low")
    after = await ask(gateway, BUDGET - 10 - DURING + 5)
    assert list(before.values()) == [200] * 10
    assert list(during.values()) == [200] * DURING
    assert list(after.values()) == [200] * 10 + [429] * 5
    log = (gateway.data_dir / "log/translator.log").read_text()
    assert '"state": "full"' in log
    assert log.count('"disk space of the ledger"') == 3

    async def stored() -> bool:
        return {each["id"] for each in await exported(gateway)} >= set(list(after)[5:10])

    await until_answered(stored)

    # Requests without a line end with the Envoy that could not write them; each is there once.
    gateway.kill("envoy")
    await until(gateway, lambda ledger: ledger.get("reservations") == 0)
    await settled(gateway)
    records = {each["id"]: each for each in await exported(gateway)}
    served = {request_id for request_id, status in (before | during | after).items() if status == 200}
    refused = {request_id for request_id, status in after.items() if status == 429}
    assert served <= set(records) <= served | refused
    assert not [each for each in before if records[each]["expired"]]
    assert [each for each in during if records[each]["expired"]]
    assert not [each for each in list(after)[5:10] if records[each]["expired"]]
