"""The fake misbehaves as configured, and reports exactly the requests that it received."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

import aiohttp
import pytest

from tests.fakes.provider_process import ROOT, ProviderProcess

BODY = json.dumps({"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}).encode()
STREAM = json.dumps({"model": "paced-1000-20", "stream": True, "messages": [{"role": "user", "content": "hi"}]})


@pytest.fixture(scope="module")
def running() -> Iterator[ProviderProcess]:
    with ProviderProcess("a") as process:
        yield process


@pytest.fixture
def provider(running: ProviderProcess) -> ProviderProcess:
    running.behave("ok")
    running.clear()
    return running


def send(provider: ProviderProcess, body: bytes = BODY, headers: str = "") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", provider.port), timeout=60)
    request = f"POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    connection.sendall(request.encode() + body)
    return connection


def read_all(connection: socket.socket) -> bytes:
    data = bytearray()
    while more := connection.recv(65536):
        data += more
    return bytes(data)


@pytest.mark.processes
def test_tells_what_it_really_produced_by_user(provider: ProviderProcess) -> None:
    for user, model, events in (("one", "gpt-4.1", 4), ("two", "paced-7-0", 7)):
        body = json.dumps({**json.loads(BODY), "model": model, "user": user, "stream": user == "two"}).encode()
        with send(provider, body, "Connection: close\r\n"):
            assert provider.wait_for("finished", 1 if user == "one" else 2)
        assert provider.produced()[-1] == (user, 1, events)
    provider.behave("die_mid_stream", after_events=3)
    with send(provider, STREAM.encode()) as connection:
        read_all(connection)
    assert len(provider.produced()) == 2


def test_records_what_came_as_it_came(provider: ProviderProcess) -> None:
    with send(provider, headers="X-Two: b\r\nx-one: a\r\nX-Two: c\r\n") as connection:
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        assert provider.wait_for("finished")
    [request] = provider.requests()
    assert (request.method, request.path, request.target) == (
        "POST",
        "/v1/chat/completions",
        "/v1/chat/completions?x=1",
    )
    assert request.headers == (
        ("Host", "h"),
        ("X-Two", "b"),
        ("x-one", "a"),
        ("X-Two", "c"),
        ("Content-Length", str(len(BODY))),
    )
    assert request.body == BODY
    assert request.status == 200
    assert provider.counters()["requests"] == 1  # the control calls are not counted


async def test_large_and_chunked_bodies(provider: ProviderProcess) -> None:
    large = BODY[:-1] + b" " * (10 << 20) + b"}"

    async def pieces() -> object:
        for start in range(0, len(large), 100_000):
            yield large[start : start + 100_000]

    async with aiohttp.ClientSession() as session:
        for data in (io.BytesIO(large), pieces()):
            async with session.post(f"{provider.base_url}/chat/completions", data=data) as response:
                assert response.status == 200
                await response.read()
    for request in await provider.arequests():
        assert request.body is None
        assert request.body_bytes == len(large)
        assert request.body_sha256 == hashlib.sha256(large).hexdigest()


def test_hang_answers_nothing_and_sees_the_client_leave(provider: ProviderProcess) -> None:
    provider.behave("hang")
    with send(provider) as connection:
        assert provider.wait_for("requests")
        connection.settimeout(0.2)  # nothing comes
        with pytest.raises(TimeoutError):
            connection.recv(1)
        left = time.monotonic()
    assert provider.wait_for("disconnects")
    [request] = provider.requests()
    assert request.disconnect == "fin"
    assert request.disconnected_monotonic is not None
    assert request.disconnected_monotonic >= left


def test_a_client_that_resets_mid_stream_is_seen_with_the_events_it_got(provider: ProviderProcess) -> None:
    connection = send(provider, STREAM.encode())
    assert provider.wait_for("events", 5)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    assert provider.wait_for("disconnects")
    [request] = provider.requests()
    assert request.disconnect == "rst"
    assert 5 <= request.events_sent < 1000
    assert request.finished_monotonic is None


def test_reset(provider: ProviderProcess) -> None:
    provider.behave("reset")
    with send(provider) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    [request] = provider.requests()
    assert request.disconnect == ""  # the peer did not disconnect


def test_trickle_headers(provider: ProviderProcess) -> None:
    provider.behave("trickle_headers", interval_ms=2)
    with send(provider) as connection:
        received = b""
        while len(received) < 40:
            received += connection.recv(1)
    assert received == b"HTTP/1.1 200 OK\r\nx-trickle: " + b"a" * 12


def test_headers_then_silence(provider: ProviderProcess) -> None:
    provider.behave("headers_then_silence")
    with send(provider, STREAM.encode()) as connection:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        assert received.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream")
        assert received.endswith(b"\r\n\r\n")
        connection.settimeout(0.2)  # nothing comes
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_die_mid_stream_ends_without_the_last_chunk(provider: ProviderProcess) -> None:
    provider.behave("die_mid_stream", after_events=3)
    with send(provider, STREAM.encode()) as connection:
        received = read_all(connection)
    assert received.count(b"data: ") == 3
    assert not received.endswith(b"0\r\n\r\n")


def test_die_mid_answer_sends_less_than_it_announced(provider: ProviderProcess) -> None:
    provider.behave("die_mid_stream")
    with send(provider) as connection:
        received = read_all(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    announced = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
    )
    assert 0 < len(body) < announced


def test_refuse_and_listen_again(provider: ProviderProcess) -> None:
    with send(provider) as connection:
        assert provider.wait_for("finished")
        provider.behave("refuse")
        assert read_all(connection).startswith(b"HTTP/1.1 200 OK")  # open connections end too
    with pytest.raises(ConnectionRefusedError):
        send(provider)
    provider.behave("ok")
    with send(provider) as connection:
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_drop_syn_and_listen_again(provider: ProviderProcess) -> None:
    provider.behave("drop_syn")
    with socket.socket() as connection:
        connection.settimeout(0.5)  # nothing comes
        with pytest.raises(TimeoutError):
            connection.connect(("127.0.0.1", provider.port))
    provider.behave("ok")
    with send(provider) as connection:
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_slow_and_times(provider: ProviderProcess) -> None:
    provider.behave("slow", delay_ms=200, times=1)
    for expected in ("slow", "ok"):
        with send(provider) as connection:
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
        assert provider.wait_for("finished")
        request = provider.requests()[-1]
        assert request.mode == expected
        assert request.finished_monotonic is not None
        if expected == "slow":
            assert request.finished_monotonic - request.received_monotonic >= 0.2


def test_a_health_check_uses_up_no_failure(provider: ProviderProcess) -> None:
    provider.behave("status:429", times=1)
    with socket.create_connection(("127.0.0.1", provider.port), timeout=60) as checker:
        checker.sendall(b"GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n")
        assert checker.recv(15) == b"HTTP/1.1 200 OK"
    for expected in (b"HTTP/1.1 429 Too", b"HTTP/1.1 200 OK"):
        with send(provider) as connection:
            assert connection.recv(len(expected)) == expected


def test_held_answers_end_when_the_behaviour_is_set_again(provider: ProviderProcess) -> None:
    provider.behave("held", events=5, after_events=3)
    with send(provider) as plain, send(provider, BODY[:-1] + b', "stream": true}') as stream:
        assert provider.wait_for("requests", 2)
        assert provider.wait_for("events", 3)
        assert provider.counters()["finished"] == 0
        provider.behave("status:429")
        assert plain.recv(15) == stream.recv(15) == b"HTTP/1.1 200 OK"
        assert provider.wait_for("finished", 2)
    assert provider.counters()["events"] > 5


def test_unknown_modes_and_parameters_are_refused(provider: ProviderProcess) -> None:
    with pytest.raises(ValueError, match="unknown mode 'sulk'"):
        provider.behave("sulk")
    with pytest.raises(ValueError, match="unknown fields \\['colour'\\]"):
        provider.behave("ok", colour="red")


def test_wait_says_when_the_time_is_up(provider: ProviderProcess) -> None:
    assert provider.wait_for("requests", 1, timeout_seconds=0.05) is False  # what is tested


def test_freeze_accepts_and_never_answers_until_thawed(provider: ProviderProcess) -> None:
    provider.freeze()
    try:
        with send(provider) as connection:
            connection.settimeout(0.2)  # nothing comes
            with pytest.raises(TimeoutError):
                connection.recv(1)
            provider.thaw()
            connection.settimeout(60)
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
    finally:
        provider.thaw()


@pytest.mark.processes
def test_killed_it_is_gone_and_comes_back_on_its_port() -> None:
    with ProviderProcess("b") as provider:
        pid, port = provider.pid, provider.port
        provider.kill()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(ConnectionRefusedError):
            send(provider)
        provider.start()
        assert provider.port == port
        with send(provider) as connection:
            assert connection.recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.processes
def test_it_ends_with_a_parent_that_was_killed() -> None:
    script = (
        "import os, signal; from tests.fakes.provider_process import ProviderProcess;"
        "print(ProviderProcess('c').start().port, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    while accepts(int(done.stdout)):  # the test's time limit ends this if the fake lives on
        pass


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:  # closed while this request is in its queue
        return True
    return True


def test_a_requests_user_may_ask_for_a_fault_of_its_own(provider: ProviderProcess) -> None:
    body = json.dumps({**json.loads(BODY), "user": "fault:status:501"}).encode()
    with send(provider, body) as connection:
        assert connection.recv(12) == b"HTTP/1.1 501"
    with send(provider) as connection:
        assert connection.recv(12) == b"HTTP/1.1 200"
