"""An operator's day: an upgrade, keys and limits by commands, a restart, a crash, and a changed file."""

from __future__ import annotations

import copy as copies
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.fixtures.upgrade.copies import NAMES, Copy, copy
from tests.fixtures.upgrade.document import ENVIRONMENT
from tests.gateway.process import GatewayProcess

#: The usage in the data directories is as old as these.
FOR_EVER = ("--usage-retention", "0s", "--rollup-retention", "0s")
MESSAGES = [{"role": "user", "content": "hi"}]


class Day:
    """One data directory, and the gateways that run on it one after the other."""

    def __init__(self, old: Copy) -> None:
        self.old = old
        self.config = old.config
        self.keys = dict(old.keys)

    def gateway(self) -> GatewayProcess:
        return GatewayProcess(self.old.data_dir, self.config, environment=ENVIRONMENT, arguments=FOR_EVER)


def listed(gateway: GatewayProcess, *verb: str) -> Any:
    return json.loads(gateway.run(*verb, "--output", "json").stdout)


def everything(gateway: GatewayProcess) -> tuple[str, Any, Any, Any]:
    """Returns everything that an operator sees of the configuration."""
    return (
        gateway.run("export").stdout,
        listed(gateway, "keys", "list"),
        [{**each, "used": None, "values": None} for each in listed(gateway, "limits", "list")],
        listed(gateway, "providers", "list"),
    )


async def status(gateway: GatewayProcess, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.get(f"{gateway.base_url}/models") as answer,
    ):
        return answer.status


async def all_open(day: Day, gateway: GatewayProcess) -> bool:
    return [await status(gateway, key) for key in day.keys.values()] == [200] * len(day.keys)


def crash(gateway: GatewayProcess) -> None:
    """Kills the supervisor, and with it everything that it started."""
    process = gateway._process
    assert process is not None
    os.kill(gateway.pid, signal.SIGKILL)
    process.wait(60)
    gateway.stop()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(600)
async def test_nothing_is_lost_and_nothing_surprises(
    tmp_path: Path, provider_a: ProviderProcess, name: str
) -> None:
    day = Day(copy(name, tmp_path / "data"))

    # The upgrade, with an unchanged file: everything stays, and the file manages the objects that it names.
    with day.gateway() as gateway:
        assert await all_open(day, gateway)
        managed = {each["name"]: each["managed_by"] for each in listed(gateway, "keys", "list")}
        assert managed["ci"] == "file:trunkline"
        assert managed["laptop"] != "file:trunkline"
        used = listed(gateway, "usage", "report", "--by", "org", "--since", "2026-01-01")
        assert [(each["org"], each["requests"]) for each in used] == [("acme", 6)]

        # Changes by commands, in organisations of the file and in others.
        day.keys["phone"] = gateway.run("keys", "create", "--org", "acme", "--name", "phone").stdout.strip()
        day.keys["spare"] = gateway.run("keys", "create", "--org", "default", "--name", "spare").stdout.strip()
        gateway.run("limits", "set", "org:acme", "tokens/1h=1000000")
        gateway.run("limits", "set", "key:acme/ci", "requests/1h=5000")
        gateway.run("limits", "set", "route:gpt-4.1", "requests/1h=9000")
        gateway.run("orgs", "add", "labs")
        refused = gateway.run("limits", "set", "org:acme", "requests/60s=1", check=False)
        assert refused.returncode == 1
        assert 'the limit requests/1m of organisation "acme" is managed by the file "trunkline"' in refused.stderr
        before = everything(gateway)

    # A restart, and a crash.
    with day.gateway() as gateway:
        assert everything(gateway) == before
        assert await all_open(day, gateway)
        crash(gateway)
    with day.gateway() as gateway:
        assert everything(gateway) == before
        assert await all_open(day, gateway)
        changed_file(day, gateway, provider_a)

        # A leaked key of the file is revoked at once, and the next start does not restore it.
        ci = next(each["id"] for each in listed(gateway, "keys", "list") if each["name"] == "ci")
        gateway.run("keys", "revoke", ci)
        leaked = day.keys.pop("ci")
        before = everything(gateway)
    with day.gateway() as gateway:
        assert everything(gateway) == before
        assert await status(gateway, leaked) == 401
        assert await all_open(day, gateway)
        headers = {"authorization": f"Bearer {day.keys['phone']}"}
        body = {"model": "live", "messages": MESSAGES}
        url = f"{gateway.base_url}/chat/completions"
        async with aiohttp.ClientSession(headers=headers) as client, client.post(url, json=body) as answer:
            assert answer.status == 200, await answer.text()
        assert "! key acme/ci: stays revoked" in applied(day, gateway).stdout


def changed_file(day: Day, gateway: GatewayProcess, provider: ProviderProcess) -> None:
    """Edits the file like an operator: each change is shown in the file's words, and nothing else changes."""
    day.config = copies.deepcopy(day.config)
    providers = {each["name"]: each for each in day.config["providers"]}
    providers["live"]["base_url"] = provider.base_url
    (route,) = [each for each in day.config["routes"] if each["model"] == "gpt-4.1"]
    route["targets"][0]["weight"] = 50
    route["targets"][0]["price"]["input"] = 1.5
    day.config["organisations"][0]["limits"] = []
    dry = applied(day, gateway, "--dry-run")
    done = applied(day, gateway)
    assert dry.stdout == done.stdout
    assert "~ provider live\n    base_url: " in done.stdout
    assert "~ route gpt-4.1\n" in done.stdout
    assert "~ organisation acme\n    - limit requests/1m=600\n" in done.stdout
    assert {each["name"] for each in listed(gateway, "keys", "list")} >= {"phone", "laptop", "spare", "first"}
    held = {(each["holder"], each["metric"], each["amount"]) for each in listed(gateway, "limits", "list")}
    assert held >= {
        ("org:acme", "tokens", "1000000"),
        ("org:acme", "cost_usd", "500"),
        ("key:acme/ci", "requests", "5000"),
        ("route:gpt-4.1", "requests", "9000"),
    }


def applied(day: Day, gateway: GatewayProcess, *flags: str) -> subprocess.CompletedProcess[str]:
    gateway.config_file.write_text(json.dumps(day.config))
    return gateway.run("apply", "-f", str(gateway.config_file), *flags, check=False)
