from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node_sidecar.use.processes import CpuMeter, LocalServer, find

pytestmark = pytest.mark.processes

#: A program that listens, starts a worker like inference servers, prints its port, and works until its input ends.
SERVER = """
import socket, subprocess, sys
listening = socket.create_server(("127.0.0.1", 0))
worker = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(listening.getsockname()[1], worker.pid, flush=True)
sys.stdin.read()
worker.stdin.close()
worker.wait()
"""
#: A program that uses a whole CPU for the given number of seconds.
BURN = """
import sys, time
for line in sys.stdin:
    until = time.process_time() + float(line)
    while time.process_time() < until:
        pass
    print("done", flush=True)
"""


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_servers_processes_are_its_ports_holder_and_all_below_it() -> None:
    with running(sys.executable, "-c", SERVER) as server:
        port, worker = map(int, line(server).split())
        found = find([LocalServer(port, "")])
        assert {server.pid, worker, os.getpid()} <= found.pids
        assert os.getppid() not in found.pids
        assert found.complete


def test_a_server_whose_port_nobody_holds_is_found_by_its_kinds_program(tmp_path: Path) -> None:
    """In a container, a proxy holds the server's port."""
    program = tmp_path / "vllm"
    program.write_text(SERVER)
    with running(sys.executable, str(program)) as server:
        _, worker = map(int, line(server).split())
        found = find([LocalServer(1, "vllm")])
        assert {server.pid, worker} <= found.pids
        assert found.complete


def test_what_cannot_be_found_is_said() -> None:
    assert not find([LocalServer(1, "")]).complete
    assert find([]).complete


@pytest.mark.parametrize("argument", ["train_vllm.py", "notes-on-vllm.txt"])
def test_a_name_within_another_is_no_server(argument: str, tmp_path: Path) -> None:
    program = tmp_path / argument
    program.write_text(SERVER)
    with running(sys.executable, str(program)) as owner:
        line(owner)
        assert owner.pid not in find([LocalServer(1, "vllm")]).pids


def test_the_cpu_that_processes_use_is_told_apart() -> None:
    with running(sys.executable, "-c", BURN) as server:
        meter = CpuMeter()
        assert meter.measure([server.pid]) is None
        assert server.stdin is not None
        server.stdin.write("0.5\n")
        server.stdin.flush()
        line(server)
        use = meter.measure([server.pid])
        assert use is not None
        # The system samples its total at ticks, some of which a busy virtual machine loses.
        assert 0 < use.theirs <= 2 * use.total + 5
        server.stdin.write("0.5\n")
        server.stdin.flush()
        line(server)
        without = meter.measure([])
        assert without is not None
        assert without.theirs == 0
        assert without.total > 0


def test_a_process_that_is_gone_uses_nothing() -> None:
    meter = CpuMeter()
    with running(sys.executable, "-c", BURN) as server:
        meter.measure([server.pid])
    for _ in range(1_000_000):
        if (use := meter.measure([server.pid])) is not None:
            assert use.theirs == 0
            return
    pytest.fail("no time passed")
