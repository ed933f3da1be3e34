"""Costs of processes, measurements of a real bare Envoy, and the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import load
from bench.bare_envoy import running_bare_envoy
from bench.errors import ProcessFailedError
from bench.gateway import configuration, roles_below
from bench.load import Latency, Load
from bench.processes import Child, cpu_us, descendants, memory
from bench.report import Results, as_json, as_text
from bench.rounds import Measured, Outcome, measure
from bench.scenarios import Scenario, SlowStreams, scenarios
from bench.slow_streams import HeldStreams, hold, peak_kib
from bench.subject import Subject
from bench.upstream import running_upstream


@pytest.mark.slow
def test_cpu_and_memory_are_those_of_the_process() -> None:
    before = cpu_us(os.getpid())
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    assert cpu_us(os.getpid()) - before >= 150_000
    assert memory(os.getpid()).peak >= memory(os.getpid()).anonymous > 1000
    assert cpu_us(2**22 + 1) == 0


@pytest.mark.processes
def test_descendants_include_grandchildren() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()  # grandchild'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as child:
        found: dict[int, str] = {}
        while not any("# grandchild" in command and pid != child.pid for pid, command in found.items()):
            found = descendants(child.pid)
        assert child.pid in found
        assert os.getpid() not in found
        child.communicate(b"\n", timeout=60)


@pytest.mark.processes
def test_a_child_that_ends_early_is_quoted(tmp_path: Path) -> None:
    script = "print('no such table'); raise SystemExit(3)"
    with (
        Child([sys.executable, "-c", script], tmp_path / "log") as child,
        pytest.raises(ProcessFailedError, match=r"status 3[\s\S]*no such table"),
    ):
        child.wait_for_line("^ready", 20)


@pytest.mark.processes
def test_roles_are_read_off_the_command_lines(tmp_path: Path) -> None:
    script = tmp_path / "translator.py"  # python -m translator
    script.write_text("input()")
    starter = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-m', 'translator'], cwd={str(tmp_path)!r})"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", starter], stdin=subprocess.PIPE) as root:
        roles: dict[str, tuple[int, ...]] = {}
        while "translator" not in roles:
            roles = roles_below(root.pid)
        assert roles["supervisor"] == (root.pid,)
        assert root.pid not in roles["translator"]
        root.communicate(b"\n", timeout=60)


def test_the_gateway_is_given_a_route_per_model() -> None:
    config = json.loads(configuration(1234, ["bench", "paced-1-1"]))
    assert config["providers"][0]["base_url"] == "http://127.0.0.1:1234/v1"
    assert [route["model"] for route in config["routes"]] == ["bench", "paced-1-1"]
    assert config["routes"][1]["targets"] == [{"provider": "bench", "model": "paced-1-1"}]


def test_prompts_have_their_size() -> None:
    head, _, body = load.request_bytes("bench", 20480, "sk-x", stream=True).partition(b"\r\n\r\n")
    assert len(json.loads(body)["messages"][0]["content"]) == 20480
    assert json.loads(body)["stream"] is True
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Authorization: Bearer sk-x" in head


@pytest.mark.compiler
@pytest.mark.envoy
def test_a_bare_envoy_is_measured(tmp_path: Path) -> None:
    with running_upstream(tmp_path) as upstream, running_bare_envoy(tmp_path, upstream.port) as bare:
        held = hold(bare, upstream, SlowStreams(50, 0.2, 2), tmp_path, print)
        plain = Scenario("plain", "bench", 1024, False, Load(connections=4, seconds=0.5), "request")
        direct = Subject("direct", upstream.port, {})
        outcome = measure(plain, [direct, bare], 2, tmp_path, print)
        peaks = peak_kib([bare])
    assert held.streams == 50
    assert held.errors == 0
    assert held.events_per_second > 10
    measured = outcome.by_subject["bare"]
    assert measured.errors == outcome.by_subject["direct"].errors == 0
    assert measured.envoy == measured.total > 1
    assert measured.python == 0
    assert outcome.by_subject["direct"].total == 0
    assert peaks["bare"]["envoy"] > 10_000


def measured(cpu: dict[str, float], errors: int = 0) -> Measured:
    total = sum(cpu.values())
    return Measured(
        cpu=cpu,
        per_second=1000,
        first_byte=Latency(900, 1900),
        whole=Latency(1000, 2000),
        errors=errors,
        cpu_by_round=(total * 0.5, total, total * 2),
    )


def test_the_report_puts_ratio_and_target_side_by_side() -> None:
    plain = next(each for each in scenarios(seconds=1) if each.target == 4.0)
    stream = next(each for each in scenarios(seconds=1) if each.target == 1.6)
    low = next(each for each in scenarios(seconds=1) if each.against_direct)
    bare = measured({"envoy": 100.0})
    gateway = measured({"envoy": 250.0, "translator": 100.0, "xds_server": 0.0})
    results = Results(
        machine={"cores": 2},
        outcomes=[
            Outcome(plain, {"bare": bare, "gateway": gateway}),
            Outcome(stream, {"bare": bare, "gateway": gateway}),
            Outcome(low, {"direct": measured({}), "bare": bare, "gateway": gateway}),
        ],
        held={"bare": HeldStreams(2000, {"envoy": 50.0}, {"envoy": 30.0}, 2000.0, 0)},
        peak_kib={"bare": {"envoy": 102400}},
    )
    text = as_text(results)
    assert "3.50 (3.5-3.5)" in text
    assert "≤ 4.0 met" in text
    assert "≤ 1.6 MISSED" in text
    assert "100.0 (translator 100.0)" in text
    assert "did not end" not in text
    assert as_json(results)["scenarios"][0]["cpu_ratio"] == 3.5
    assert json.loads(json.dumps(as_json(results)))["peak_rss_kib"] == {"bare": {"envoy": 102400}}


def test_errors_spoil_the_report() -> None:
    plain = scenarios(seconds=1)[0]
    results = Results({}, [Outcome(plain, {"bare": measured({"envoy": 1.0}, errors=3)})], {}, {})
    assert results.errors == 3
    assert "3 requests did not get a complete 200" in as_text(results)


@pytest.mark.processes
def test_a_process_that_crashed_is_not_measured_as_cheap() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait(60)
        with pytest.raises(ProcessFailedError, match="ended while it was measured"):
            memory(child.pid)
