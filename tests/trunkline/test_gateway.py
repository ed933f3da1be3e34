"""`trunkline up` around tiny children: its life, its end, and the files that it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.trunkline.fakes.processes import FakeGateway, wait_for_end

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    with FakeGateway(tmp_path) as gateway:
        gateway.ready()
        children = gateway.children()

        gateway.process.send_signal(number)
        stdout, stderr = gateway.process.communicate(timeout=60)

        assert gateway.process.returncode == 0, stderr
        assert stdout == ""
        for pid in children:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_a_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    with FakeGateway(tmp_path) as gateway:
        gateway.ready()
        children = gateway.children()

        gateway.process.kill()

        for pid in children:
            wait_for_end(pid)


def test_ready_comes_with_credentials(tmp_path: Path) -> None:
    with FakeGateway(tmp_path) as gateway:
        line = gateway.ready()

    path = tmp_path / "credentials.json"
    stored = json.loads(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert stored["api_key"] == "sk-tl-first-secret"
    assert stored["admin_token"] == (tmp_path / "run" / "admin-token").read_text()
    assert stored["base_url"].endswith("/v1")
    assert stored["base_url"] in line
    assert stored["admin_url"] in line
    assert str(path) in line
    assert stored["control"].startswith("127.0.0.1:")
    assert stored["tunnel"].startswith("https://127.0.0.1:")
    assert not stored["tunnel"].endswith(":0")
    assert not (tmp_path / "run" / "first-key").exists()
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    assert stored["admin_token"] not in line
    assert stored["api_key"] not in line


def test_the_admin_token_survives_a_restart(tmp_path: Path) -> None:
    tokens = []
    for _ in range(2):
        with FakeGateway(tmp_path) as gateway:
            gateway.ready()
            tokens.append(json.loads((tmp_path / "credentials.json").read_text())["admin_token"])
            gateway.process.terminate()
            gateway.process.wait(timeout=60)
    assert tokens[0] == tokens[1]
    assert len(tokens[0]) >= 32


def test_a_second_up_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with FakeGateway(tmp_path) as first:
        first.ready()
        with FakeGateway(tmp_path) as second:
            _, stderr = second.process.communicate(timeout=60)
            assert second.process.returncode == 1
            assert f"already running on {tmp_path} (pid {first.process.pid})" in stderr
        assert first.process.poll() is None
        os.kill(first.child("envoy"), 0)


def test_a_data_directory_is_free_again_after_a_kill(tmp_path: Path) -> None:
    with FakeGateway(tmp_path) as first:
        first.ready()
        first.process.kill()
    with FakeGateway(tmp_path) as second:
        second.ready()


def test_what_crashes_is_restarted_and_said_so(tmp_path: Path) -> None:
    path = str(tmp_path / "run" / "translator.sock")

    def running() -> int:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(path)
            return int(connection.makefile().readline())

    with FakeGateway(tmp_path) as gateway:
        gateway.ready()
        others = [gateway.child("envoy"), gateway.child("xds_server")]

        os.kill(running(), signal.SIGKILL)
        assert "translator ended (signal SIGKILL); restarting now" in gateway.heard("translator ended")
        os.kill(running(), signal.SIGTERM)
        assert "translator ended (signal SIGTERM); restarting in 0.5 s" in gateway.heard("translator ended")
        os.kill(running(), signal.SIGTERM)
        assert "restarting in 1 s" in gateway.heard("translator ended")

        assert [gateway.child("envoy"), gateway.child("xds_server")] == others


def test_connections_wait_while_a_translator_is_away(tmp_path: Path) -> None:
    path = str(tmp_path / "run" / "translator.sock")
    with FakeGateway(tmp_path) as gateway:
        gateway.ready()
        seen = []
        for _ in range(3):  # the second and third restarts follow a pause, during which the socket must stay open
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(60)
                connection.connect(path)
                seen.append(int(connection.makefile().readline()))
                os.kill(seen[-1], signal.SIGKILL)
                assert connection.recv(1) == b""
        assert len(set(seen)) == 3


def test_a_child_that_fails_at_the_start_shows_its_log(tmp_path: Path) -> None:
    with FakeGateway(tmp_path, failing="translator") as gateway:
        stdout, stderr = gateway.process.communicate(timeout=60)
        assert gateway.process.returncode == 1
        assert stdout == ""
        assert "translator ended during the start (exit code 1)" in stderr
        assert "a reason: cannot go on" in stderr


def test_a_port_in_use_is_refused_with_its_flag(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with FakeGateway(tmp_path, listen=listen) as gateway:
            _, stderr = gateway.process.communicate(timeout=60)
    assert gateway.process.returncode == 1
    assert f"{listen} is in use by another program" in stderr
    assert "--listen HOST:PORT" in stderr
