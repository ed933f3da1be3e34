"""The load generator and the upstream, against each other and against misbehaving peers."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import native
from bench.errors import CompilerMissingError
from bench.load import Load, command, request_bytes
from bench.upstream import Upstream, running_upstream
from tests.fakes.provider_process import ProviderProcess
from tests.waiting import eventually

pytestmark = pytest.mark.compiler


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with running_upstream(tmp_path_factory.mktemp("upstream")) as running:
        yield running


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderProcess]:
    with ProviderProcess("a") as running:
        yield running


def loadgen(
    tmp_path: Path, port: int, load: Load, *more: str, model: str = "bench", stream: bool = False
) -> dict[str, Any]:
    request = tmp_path / f"request-{model}-{stream}"
    request.write_bytes(request_bytes(model, 1024, "key", stream=stream))
    done = subprocess.run([*command(port, request, load), *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in after}


@pytest.mark.parametrize("name", ["loadgen", "upstream"])
def test_compiles_without_a_warning(name: str, tmp_path: Path) -> None:
    source = native.SOURCES / f"{name}.c"
    done = subprocess.run(
        ["cc", *native.FLAGS, "-Werror", "-o", str(tmp_path / name), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr}; {native.INSTALL}"


def test_a_missing_compiler_is_said_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(CompilerMissingError, match=r"no-such-compiler was not found.*apt-get install gcc"):
        native.program("loadgen", tmp_path)


def test_a_program_is_built_once(tmp_path: Path) -> None:
    first = native.program("upstream", tmp_path).stat()
    assert native.program("upstream", tmp_path).stat().st_ino == first.st_ino


def test_closed_loop_counts_what_the_upstream_counts(tmp_path: Path, upstream: Upstream) -> None:
    before = upstream.stats()
    result = loadgen(tmp_path, upstream.port, Load(connections=4, seconds=0.3))
    counted = difference(before, upstream.stats())
    assert result["statuses"] == {"200": result["completed"]}
    assert result["completed"] == result["sent"] == counted["requests"] >= 4
    assert counted["connections"] == 4 + 1  # kept alive; one for the statistics
    assert result["whole_us"]["count"] == result["completed"]
    assert 0 < result["first_byte_us"]["p50"] <= result["whole_us"]["p50"] <= result["whole_us"]["p99"]
    assert result["whole_us"]["p99"] <= result["whole_us"]["max"]


def test_open_loop_sends_what_is_due_whatever_the_answers_do(tmp_path: Path, provider: ProviderProcess) -> None:
    provider.behave("slow", delay_ms=300)
    # What is due while a busy machine stops the program is sent later, unless its time is over.
    result = loadgen(tmp_path, provider.port, Load(connections=2, seconds=3, rate=20, drain=1))
    assert result["completed"] + result["unfinished"] >= 10
    assert result["whole_us"]["max"] > 500_000  # the wait for one of the two connections counts
    provider.behave("ok")


def test_events_are_counted_alike(tmp_path: Path, upstream: Upstream) -> None:
    before = upstream.stats()
    result = loadgen(
        tmp_path, upstream.port, Load(connections=5, seconds=0.2, drain=60), model="paced-20-150", stream=True
    )
    counted = difference(before, upstream.stats())
    assert result["completed"] == counted["streams"] == counted["streams_finished"] >= 5
    assert result["events"] == counted["events"] == (20 + 2) * result["completed"]
    assert result["first_byte_us"]["p50"] < result["whole_us"]["p50"]  # however late a busy machine reads
    assert result["whole_us"]["p50"] >= 20 * 150_000


def test_slow_streams_are_held_open_and_then_let_go(tmp_path: Path, upstream: Upstream) -> None:
    before = upstream.stats()
    load = Load(connections=300, seconds=4, drain=0, ramp=0.3)
    result = loadgen(tmp_path, upstream.port, load, model="paced-1000-100", stream=True)
    assert result["open_streams"] == result["unfinished"] == 300
    assert result["completed"] == result["broken"] == 0
    assert result["events"] > 300
    eventually(lambda: difference(before, upstream.stats())["clients_gone"] == 300)


@pytest.mark.parametrize(
    ("mode", "stream"), [("reset", False), ("die_mid_stream", True), ("die_mid_stream", False)]
)
def test_answers_that_break_off_are_broken(
    tmp_path: Path, provider: ProviderProcess, mode: str, stream: bool
) -> None:
    provider.behave(mode)
    result = loadgen(tmp_path, provider.port, Load(connections=3, seconds=0.2), stream=stream)
    assert result["broken"] == result["sent"] >= 3
    assert result["completed"] == 0


def test_refusals_are_counted_by_status(tmp_path: Path, provider: ProviderProcess) -> None:
    provider.behave("status:429", times=2)
    result = loadgen(tmp_path, provider.port, Load(connections=1, seconds=3, rate=10))
    assert result["statuses"]["429"] == 2
    assert result["statuses"]["200"] == result["completed"] - 2 > 0


def test_silence_is_a_timeout(tmp_path: Path, provider: ProviderProcess) -> None:
    provider.behave("hang")
    result = loadgen(tmp_path, provider.port, Load(connections=2, seconds=0.2, drain=60), "--timeout", "0.2")
    assert result["timeouts"] >= 2
    assert result["completed"] == 0


def test_nobody_there_is_a_connect_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody else can have the port, and nobody listens there
        result = loadgen(tmp_path, taken.getsockname()[1], Load(connections=2, seconds=0.2))
    assert result["connect_errors"] == result["sent"] >= 2


def test_events_are_found_across_chunks_and_reads(tmp_path: Path) -> None:
    pieces = [
        b"HTTP/1.1 200 OK\r\nTransfer-",
        b"Encoding: chunked\r\nconnection: close\r\n\r\n",
        b"8;name=value\r\ndata: a\n\r\n1\r",
        b"\n\n\r\n",  # the blank line's second newline, alone in its chunk
        b"a\r\ndata: b\n\nd\r\n9\r\nata: c\n\n\n\r\n0\r\ntrailer: x\r\n\r\n",
    ]
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                received = b""
                while not received.endswith(b"}"):
                    received += connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        result = loadgen(tmp_path, server.getsockname()[1], Load(connections=1, seconds=0.01, rate=100, drain=20))
        thread.join()
    assert result["statuses"] == {"200": 1}
    assert result["events"] == 3


def test_the_upstream_ends_with_who_started_it(tmp_path: Path) -> None:
    process = subprocess.Popen([native.program("upstream")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert b"port" in process.stdout.readline()
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()


def test_the_upstream_reads_chunked_bodies(upstream: Upstream) -> None:
    body = b'{"model":"paced-2-1","stream":true}'
    request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=60) as connection:
        connection.sendall(request + b"%x\r\n%s\r\n" % (20, body[:20]))
        connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) - 20, body[20:]))
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(65536)
    assert received.count(b"data: ") == 2 + 2
