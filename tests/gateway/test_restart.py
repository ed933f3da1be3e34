"""`trunkline restart` under load: no request is refused or fails, and running ones continue."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.load import Load
from tests.gateway.process import GatewayProcess
from tests.waiting import eventually
from trunkline import envoy


@pytest.fixture
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            {"model": "plain", "targets": [{"provider": "a", "model": "plain"}]},
            {"model": "stream", "targets": [{"provider": "a", "model": "paced-30-100"}]},
        ],
    }


@pytest.fixture
def gateway(tmp_path: Path, config: dict[str, Any]) -> Iterator[GatewayProcess]:
    """A gateway with an Envoy of its own, which a test may replace, and time for its running requests."""
    package = tmp_path / "packages" / "envoy"
    (package / "_bin").mkdir(parents=True)
    (package / "__init__.py").touch()
    install(package, "the first")
    environment = {**PROVIDER_CREDENTIALS, "PYTHONPATH": f"{package.parent}:{Path(__file__).parents[2]}"}
    arguments = ["--drain-seconds", "30"]
    with GatewayProcess(tmp_path / "data", config, environment=environment, arguments=arguments) as running:
        yield running


def install(package: Path, version: str) -> None:
    """Installs an Envoy whose file differs with every version."""
    new = package / "_bin" / "envoy.new"
    new.write_text(f'#!/bin/sh\n# {version}\nexec {envoy.binary()} "$@"\n')
    new.chmod(0o755)
    new.replace(package / "_bin" / "envoy")


def restart(gateway: GatewayProcess, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    verb = ("restart", "--data-dir", str(gateway.data_dir), "--wait", "200")
    return gateway.run(*verb, check=check)


class Knocking:
    """Sends a request on a connection of its own, again and again, until the block is left."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._url = f"{gateway.base_url}/models"
        self._headers = {"authorization": f"Bearer {gateway.api_key}"}
        self.answered = 0
        self.problems: list[str] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._knock()) for _ in range(4)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _knock(self) -> None:
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector, headers=self._headers) as session:
            while True:
                try:
                    async with session.get(self._url, timeout=aiohttp.ClientTimeout(total=60)) as answer:
                        if answer.status != 200:
                            self.problems.append(f"{answer.status} {await answer.text()}")
                except aiohttp.ClientError as error:
                    self.problems.append(repr(error))
                self.answered += 1
                await asyncio.sleep(0.01)  # the pace of the load


async def test_a_restart_under_load_costs_no_request_and_keeps_envoy(gateway: GatewayProcess) -> None:
    names = ("envoy", "xds_server", "translator")
    before = {name: gateway.service_pid(name) for name in names}
    pid = gateway.pid
    load = Load(gateway.base_url, gateway.api_key, "plain", rate=30, streams=5, stream_model="stream")
    async with Knocking(gateway) as knocking, load:
        await load.wait_for(30)
        for _ in range(2):
            done = await asyncio.to_thread(restart, gateway)
            assert done.stdout == "restarted\n"
            await load.wait_for(30)
    assert not load.problems
    assert not knocking.problems
    assert knocking.answered > 50
    after = {name: gateway.service_pid(name) for name in names}
    assert gateway.pid == pid
    assert {name for name in names if after[name] == before[name]} == {"envoy"}


async def test_another_envoy_takes_over_without_refusing_anybody(gateway: GatewayProcess) -> None:
    before = gateway.service_pid("envoy")
    load = Load(gateway.base_url, gateway.api_key, "plain", rate=30, streams=5, stream_model="stream")
    async with Knocking(gateway) as knocking, load:
        await load.wait_for(30)
        install(gateway.data_dir.parent / "packages" / "envoy", "the second")
        await asyncio.to_thread(restart, gateway)
        await load.wait_for(30)
    assert not load.problems
    assert not knocking.problems
    assert gateway.service_pid("envoy") != before
    assert "a new one starts while the old one runs" in gateway.errors_file.read_text()
    assert restart(gateway).stdout == "restarted\n"


def test_it_still_stops_restarts_what_crashes_and_dies_whole(gateway: GatewayProcess) -> None:
    restart(gateway)
    killed = gateway.kill("translator")
    restart(gateway)
    assert gateway.service_pid("translator") != killed
    assert gateway.stop() == 0
    refused = restart(gateway, check=False)
    assert "no `trunkline up` is running" in refused.stderr


def test_what_does_not_start_replaces_nothing(gateway: GatewayProcess) -> None:
    """The new program is broken, as it would be in the middle of an upgrade."""
    broken = gateway.data_dir.parent / "packages" / "trunkline"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('half of an upgrade')\n")
    before = {name: gateway.service_pid(name) for name in ("envoy", "xds_server", "translator")}
    os.kill(gateway.pid, signal.SIGUSR2)
    eventually(lambda: "this one keeps running" in gateway.errors_file.read_text())
    assert {name: gateway.service_pid(name) for name in before} == before
    shutil.rmtree(broken)
