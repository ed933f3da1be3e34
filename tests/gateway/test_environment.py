"""No process of a running gateway exposes a secret that it does not need, before or after a restart."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.process import SERVICES, GatewayProcess
from tests.waiting import eventually

#: Each secret has a text of its own, by which it is found.
SECRETS = {
    "ACME_CI_KEY": "sk-acme-environment-1234",
    "OPENAI_API_KEY": "sk-openai-environment-1234",
    "ANTHROPIC_API_KEY": "sk-anthropic-environment-1234",
    "TRUNKLINE_ADMIN_TOKEN": "admin-environment-1234",
    "TRUNKLINE_JOIN_TOKEN": "tlj-environment-1234",
    "AWS_SECRET_ACCESS_KEY": "aws-environment-1234",
    "HTTPS_PROXY": "http://user:proxy-environment-1234@127.0.0.1:9",
    "PGPASSWORD": "database-environment-1234",
    "UNHEARD_OF": "other-environment-1234",
    **PROVIDER_CREDENTIALS,
}


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [{"model": "plain", "targets": [{"provider": "a", "model": "plain"}]}],
        "organisations": [{"name": "acme", "keys": [{"name": "ci", "value": "env:ACME_CI_KEY"}]}],
    }


def descendants(pid: int) -> dict[int, str]:
    """Returns all processes that a process has started, directly or not, with their command lines."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
            except OSError:
                continue
    found, again = {pid}, True
    while again:
        more = {child for child, parent in parents.items() if parent in found} - found
        found, again = found | more, bool(more)
    return {each: command for each in found - {pid} if (command := read(each, "cmdline"))}


def started(pid: int) -> dict[int, str]:
    """Returns the descendants; nothing while one is a copy of `pid` that has not begun its own program yet."""
    found = descendants(pid)
    return {} if read(pid, "cmdline") in found.values() else found


def read(pid: int, name: str) -> str:
    """Returns a file of a process; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b"\n").decode()
    except OSError:
        return ""


def test_children_inherit_no_secret(tmp_path: Path, config: dict[str, Any]) -> None:
    with GatewayProcess(tmp_path / "data", config, environment=SECRETS) as gateway:
        token, key = gateway.credentials["admin_token"], gateway.api_key
        for _ in range(2):
            pids = {name: gateway.service_pid(name) for name in SERVICES}
            children = eventually(lambda: started(gateway.pid))
            assert set(pids.values()) <= children.keys()
            for pid, command in children.items():
                shown = read(pid, "environ")
                assert "PATH=" in shown or pid not in descendants(gateway.pid)
                for secret in (*SECRETS.values(), token, key):
                    assert secret not in shown, command
                    assert secret not in command
            for name in SERVICES:
                restarted(gateway, name)


def restarted(gateway: GatewayProcess, name: str) -> None:
    """Kills a service and waits for the next one."""
    before = gateway.kill(name)

    def is_back() -> bool:
        with suppress(LookupError):
            return gateway.service_pid(name) != before
        return False

    eventually(is_back)
