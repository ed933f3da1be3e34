"""From nothing to the first answer, and back to nothing."""

from __future__ import annotations

import json
import os
import signal
import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.process import GatewayProcess
from tests.waiting import eventually

#: The goal is 5 s on 2 quiet cores, measured by `make bench`. This bound shows that nothing waits for a timeout.
START_SECONDS = 150.0


def ask(gateway: GatewayProcess, path: str, key: str) -> dict[str, object]:
    request = urllib.request.Request(gateway.base_url + path, headers={"authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        parsed = json.load(answer)
    assert isinstance(parsed, dict)
    return parsed


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pids: list[int], seconds: float = 60.0) -> None:
    eventually(lambda: not any(alive(pid) for pid in pids), seconds)


def test_without_any_provider_it_says_how_to_add_one_and_lists_no_models(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data") as gateway:
        assert gateway.ready_seconds < START_SECONDS
        assert ask(gateway, "/models", gateway.api_key) == {"object": "list", "data": []}
        eventually(lambda: "trunkline providers add" in gateway.errors_file.read_text())
        assert gateway.base_url in gateway.ready_line
        assert gateway.admin_url in gateway.ready_line
        assert "credentials.json" in gateway.ready_line
        file = gateway.data_dir / "credentials.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        names = {"admin_token", "api_key", "base_url", "admin_url", "control", "tunnel"}
        assert set(gateway.credentials) == names
        assert gateway.stop() == 0


def test_a_key_in_the_environment_becomes_a_provider_with_routes(
    tmp_path: Path, provider_a: ProviderProcess
) -> None:
    environment = {"OPENAI_API_KEY": "sk-provider-a", "OPENAI_BASE_URL": provider_a.base_url}
    with GatewayProcess(tmp_path / "data", environment=environment) as gateway:
        models = eventually(lambda: ask(gateway, "/models", gateway.api_key)["data"])
        assert isinstance(models, list)
        assert "gpt-4.1" in {model["id"] for model in models}


def test_keys_and_state_survive_a_restart(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data") as first:
        key, token = first.api_key, first.credentials["admin_token"]
    with GatewayProcess(tmp_path / "data") as second:
        assert (second.api_key, second.credentials["admin_token"]) == (key, token)
        assert ask(second, "/models", key)["object"] == "list"


def test_a_second_gateway_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data") as first:
        second = first.run("up", "--data-dir", str(first.data_dir), "--listen", "127.0.0.1:0", check=False)
        assert second.returncode != 0
        assert str(first.pid) in second.stderr
        assert ask(first, "/models", first.api_key)["object"] == "list"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_however_it_ends_no_process_is_left(tmp_path: Path, number: signal.Signals) -> None:
    with GatewayProcess(tmp_path / "data") as gateway:
        pids = [gateway.service_pid(name) for name in ("envoy", "xds_server", "translator")]
        os.kill(gateway.pid, number)
        wait_until_gone(pids)


def test_health_and_metrics_are_on_the_admin_listener_and_need_no_upstream(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data") as gateway:
        for path in ("/healthz", "/readyz", "/metrics"):
            with urllib.request.urlopen(gateway.admin_url + path, timeout=60) as answer:
                assert answer.status == 200
                body = answer.read().decode()
        assert "# TYPE envoy_" in body
        with urllib.request.urlopen(gateway.admin_url + "/metrics/translator", timeout=60) as answer:
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            reported = answer.read().decode()
        for name in ("decisions_total", "records_shipped_total", "disk_state", "limits_counting"):
            assert f"# TYPE trunkline_translator_{name} " in reported
        with urllib.request.urlopen(gateway.admin_url + "/metrics/control", timeout=60) as answer:
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            reported = answer.read().decode()
        assert '\ntrunkline_control_clients{kind="envoy"} 1.0\n' in reported


def test_the_admin_api_is_rest_too(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data") as gateway:
        url = f"{gateway.admin_url}/admin/v1/organisations"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=60)
        assert refused.value.code == 401
        refused.value.close()
        token = gateway.credentials["admin_token"]
        request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert [each["name"] for each in json.load(answer)["organisations"]] == ["default"]
