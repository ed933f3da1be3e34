"""A node answers the gateway over TLS and HTTP/2, with a fake local server."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path

import pytest
from h2.errors import ErrorCodes

from node_sidecar.serving import forward
from node_sidecar.serving.gate import Gate
from tests.fakes.provider_process import ProviderProcess
from tests.node_sidecar.support.node import PATIENT, serving, settled
from tests.node_sidecar.support.upstreams import Local
from tests.waiting import until


@pytest.mark.processes
async def test_a_request_goes_byte_for_byte(tmp_path: Path, provider: ProviderProcess) -> None:
    body = b'{ "model":"m",\n"messages":[{"role":"user","content":"\\u00e9 \xc3\xa9"}] , "x":1.50}'
    async with serving(tmp_path, provider) as node:
        headers = (
            ("content-type", "application/json"),
            ("x-request-id", "r1"),
            ("x-trunkline-own", "1"),
            ("x-trunkline-node", "nd-a"),
            ("authorization", "Bearer sk-client"),
        )
        answer = await node.peer.answer(node.peer.request(body=body, headers=headers))
    assert (answer.status, answer.ended) == (200, True)
    assert answer.json()["choices"][0]["message"]["content"] == "Hello from provider local."
    assert answer.headers["x-fake-provider"] == "local"
    assert "transfer-encoding" not in answer.headers
    (seen,) = await provider.arequests()
    assert seen.body == body
    assert seen.target == "/v1/chat/completions"
    assert {name.lower(): value for name, value in seen.headers} == {
        "host": f"127.0.0.1:{provider.port}",
        "content-type": "application/json",
        "x-request-id": "r1",
        "content-length": str(len(body)),
    }


@pytest.mark.processes
async def test_the_local_servers_own_key(tmp_path: Path) -> None:
    with ProviderProcess("keyed", api_keys=["sk-local"]) as provider:
        async with serving(tmp_path, provider) as node:
            assert (await node.peer.answer(node.peer.chat())).status == 401
            node.models.everything = Local(provider.base_url, "sk-local")
            assert (await node.peer.answer(node.peer.chat())).status == 200


@pytest.mark.processes
async def test_the_model_chooses_the_local_server(tmp_path: Path, provider: ProviderProcess) -> None:
    with ProviderProcess("second") as second:
        async with serving(tmp_path, provider) as node:
            node.models.by_name["there"] = Local(second.base_url)
            answer = await node.peer.answer(node.peer.chat("there"))
            assert answer.headers["x-fake-provider"] == "second"
            answer = await node.peer.answer(node.peer.chat("here"))
            assert answer.headers["x-fake-provider"] == "local"


@pytest.mark.processes
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/cancel")])
async def test_a_stored_response_is_looked_for_where_its_model_is(
    tmp_path: Path, provider: ProviderProcess, method: str, path: str
) -> None:
    with ProviderProcess("second") as second:
        async with serving(tmp_path, provider) as node:
            node.models.by_name["there"] = Local(second.base_url)
            headers = (("x-trunkline-model", '"there"'),)
            await node.peer.answer(
                node.peer.request(f"/v1/responses/resp_1{path}", method=method, headers=headers)
            )
        (seen,) = await second.arequests()
    assert (seen.method, seen.target, seen.body) == (method, f"/v1/responses/resp_1{path}", b"")
    assert "x-trunkline-model" not in {name.lower() for name, _ in seen.headers}
    assert await provider.arequests() == []


async def test_a_form(tmp_path: Path, provider: ProviderProcess) -> None:
    audio = bytes(range(256)) * 2_000
    body = (
        b'--b0\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + audio + b"\r\n"
        b'--b0\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b0--\r\n'
    )
    headers = (("content-type", "multipart/form-data; boundary=b0"),)
    async with serving(tmp_path, provider) as node:
        answer = await node.peer.answer(node.peer.request("/v1/audio/transcriptions", body, headers=headers))
    assert answer.status == 200, answer.data
    (seen,) = await provider.arequests()
    assert seen.body_sha256 == hashlib.sha256(body).hexdigest()


async def test_other_paths_are_refused_without_a_look_at_the_local_server(
    tmp_path: Path, provider: ProviderProcess
) -> None:
    async with serving(tmp_path, provider) as node:
        for method, path in (("GET", "/v1/models"), ("POST", "/pause"), ("POST", "/v1/chat/completions/../x")):
            answer = await node.peer.answer(node.peer.request(path, method=method))
            assert (answer.status, answer.code) == (404, "unknown_url")
    assert await provider.arequests() == []


@pytest.mark.parametrize("sent", [1, 2, 4])
async def test_a_stream_passes_event_by_event(tmp_path: Path, provider: ProviderProcess, sent: int) -> None:
    """Each event reaches the client before the local server sends the next one."""
    await provider.abehave("held", after_events=sent)
    async with serving(tmp_path, provider) as node:
        stream_id = node.peer.chat("paced-6-0", stream=True)
        answer = node.peer.answers[stream_id]
        await node.peer.until(lambda: answer.data.count(b"data:") == sent)
        assert (await provider.acounters())["events"] == sent
        await provider.abehave("ok")
        await node.peer.answer(stream_id)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.data.endswith(b"data: [DONE]\n\n")


async def test_fifty_thousand_events_arrive_complete_and_in_order(
    tmp_path: Path, provider: ProviderProcess
) -> None:
    async with serving(tmp_path, provider) as node:
        answer = await node.peer.answer(node.peer.chat("paced-50000-0", stream=True))
    assert answer.ended
    events = [line for line in bytes(answer.data).split(b"\n\n") if line]
    contents = [
        choice["delta"].get("content")
        for event in events[:-1]
        for choice in json.loads(event.removeprefix(b"data: "))["choices"]
    ]
    assert contents.count("word ") == 50_000
    assert events[-1] == b"data: [DONE]"


async def test_a_client_that_leaves_is_gone_from_the_local_server_at_once(
    tmp_path: Path, provider: ProviderProcess
) -> None:
    async with serving(tmp_path, provider) as node:
        await provider.abehave("held", after_events=2)  # the answer never ends by itself
        streaming = node.peer.chat(stream=True)
        await node.peer.until(lambda: node.peer.answers[streaming].data.count(b"data:") == 2)
        assert node.gate.in_flight == 1
        node.peer.reset(streaming)
        assert await provider.await_for("disconnects", 1)
        await node.gate.idle()
        await provider.abehave("hang")
        waiting = node.peer.chat()
        assert await provider.await_for("requests", 2)
        node.peer.reset(waiting)
        assert await provider.await_for("disconnects", 2)
        await node.gate.idle()


async def test_a_lost_tunnel_cancels_what_ran_on_it(tmp_path: Path, provider: ProviderProcess) -> None:
    async with serving(tmp_path, provider) as node:
        await provider.abehave("held", after_events=2)  # the answer never ends by itself
        streaming = node.peer.chat(stream=True)
        await node.peer.until(lambda: node.peer.answers[streaming].data.count(b"data:") == 2)
        await node.peer.close()
        assert await provider.await_for("disconnects", 1)
        await node.gate.idle()


async def test_a_slow_reader_stops_the_local_server(tmp_path: Path, provider: ProviderProcess) -> None:
    """Of 400 MB, only a window of 64 KiB, sockets and bounded buffers fill up; the rest follows when the client
    reads on.
    """
    await provider.abehave("ok", events=400, event_bytes=1_000_000)
    async with serving(tmp_path, provider, window=65_535, acknowledges=False) as node:
        tracemalloc.start()
        stream_id = node.peer.chat(stream=True)
        answer = node.peer.answers[stream_id]
        await node.peer.until(lambda: len(answer.data) == 65_535)
        sent = await settled(provider)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sent < 20, "megabytes in the sockets between"
        assert held < 4_000_000
        assert len(answer.data) == 65_535
        node.peer.acknowledge(stream_id, 65_535)
        await node.peer.until(lambda: len(answer.data) == 2 * 65_535)


async def test_a_gateway_that_reads_nothing_at_all_does_not_grow_memory(
    tmp_path: Path, provider: ProviderProcess
) -> None:
    await provider.abehave("ok", events=400, event_bytes=1_000_000)
    async with serving(tmp_path, provider, window=1 << 30, reads=False, limits=PATIENT) as node:
        tracemalloc.start()
        for _ in range(10):
            node.peer.chat(stream=True)
        assert await provider.await_for("requests", 10)
        await settled(provider)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert node.gate.in_flight == 10
        assert held < 10_000_000


@pytest.mark.parametrize("mode", ["status:500", "status:429", "status:503", "status:400"])
async def test_the_local_servers_own_errors_pass(tmp_path: Path, provider: ProviderProcess, mode: str) -> None:
    await provider.abehave(mode)
    async with serving(tmp_path, provider) as node:
        answer = await node.peer.answer(node.peer.chat())
    assert answer.status == int(mode.partition(":")[2])
    assert "error" in answer.json()
    assert answer.headers.get("retry-after") == ("1" if answer.status == 429 else None)


async def test_a_local_server_that_is_away(tmp_path: Path, provider: ProviderProcess) -> None:
    async with serving(tmp_path, provider) as node:
        assert (await node.peer.answer(node.peer.chat())).status == 200
        await provider.abehave("refuse")
        answer = await node.peer.answer(node.peer.chat())
        assert (answer.status, answer.code) == (502, "local_server_unreachable")
        await provider.abehave("ok")
        assert (await node.peer.answer(node.peer.chat())).status == 200


async def test_a_local_server_that_ends_without_an_answer(tmp_path: Path, provider: ProviderProcess) -> None:
    await provider.abehave("reset")
    async with serving(tmp_path, provider) as node:
        answer = await node.peer.answer(node.peer.chat())
    assert (answer.status, answer.code) == (502, "local_server_failed")


async def test_a_kept_connection_that_was_closed_is_no_failure(
    tmp_path: Path, provider: ProviderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "_KEEPALIVE", 3600.0)
    async with serving(tmp_path, provider) as node:
        assert (await node.peer.answer(node.peer.chat())).status == 200
        await provider.abehave("reset", times=1)
        assert (await node.peer.answer(node.peer.chat())).status == 200
    assert (await provider.acounters())["requests"] == 3


@pytest.mark.parametrize("stream", [True, False])
async def test_a_local_server_that_dies_midway_leaves_a_broken_stream(
    tmp_path: Path, provider: ProviderProcess, stream: bool
) -> None:
    await provider.abehave("die_mid_stream", after_events=3)
    async with serving(tmp_path, provider) as node:
        answer = await node.peer.answer(node.peer.chat(stream=stream))
    assert answer.status == 200
    assert (answer.ended, answer.reset) == (False, ErrorCodes.INTERNAL_ERROR)
    assert answer.data.count(b"data:") == (3 if stream else 0)


async def test_a_model_that_is_loading_or_gone(tmp_path: Path, provider: ProviderProcess) -> None:
    async with serving(tmp_path, provider) as node:
        node.models.being_loaded.add("soon")
        answer = await node.peer.answer(node.peer.chat("soon"))
        assert (answer.status, answer.code) == (503, "model_loading")
        assert int(answer.headers["retry-after"]) > 0
        node.models.by_name["gone"] = None
        answer = await node.peer.answer(node.peer.chat("gone"))
        assert (answer.status, answer.code) == (503, "model_not_available")
    assert await provider.arequests() == []


async def test_a_full_queue_and_the_owners_right_of_way(tmp_path: Path, provider: ProviderProcess) -> None:
    await provider.abehave("held", after_events=1)
    async with serving(tmp_path, provider, gate=Gate(1, 1)) as node:
        running = node.peer.chat(stream=True)
        await node.peer.until(lambda: node.peer.answers[running].status)
        waiting = node.peer.chat()
        await until(lambda: node.gate.queued >= 1)
        answer = await node.peer.answer(node.peer.chat())
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (429, "node_busy", "1")
        own = node.peer.chat(headers=(("x-trunkline-own", "1"),))
        assert (await node.peer.answer(waiting)).status == 429, "made room for the owner"
        await provider.abehave("ok")
        assert (await node.peer.answer(own)).status == 200
        assert (await node.peer.answer(running)).ended


async def test_a_body_that_is_too_large(tmp_path: Path, provider: ProviderProcess) -> None:
    async with serving(tmp_path, provider, max_body=10_000) as node:
        body = json.dumps({"model": "m", "input": "x" * 20_000}).encode()
        answer = await node.peer.answer(node.peer.request("/v1/embeddings", body))
        assert (answer.status, answer.code) == (413, "request_too_large")
        assert (await node.peer.answer(node.peer.chat())).status == 200


@pytest.mark.processes
async def test_drain_with_twenty_streams(tmp_path: Path, provider: ProviderProcess) -> None:
    await provider.abehave("held", after_events=1)
    async with serving(tmp_path, provider) as node:
        streams = [node.peer.chat("paced-30-0", stream=True) for _ in range(20)]
        await node.peer.until(lambda: all(node.peer.answers[one].pieces for one in streams))
        node.gate.drain()
        late = node.peer.chat()
        assert (await node.peer.answer(late)).code == "node_draining", "as before the GOAWAY arrives"
        node.tunnels.drain()
        await node.peer.until(lambda: node.peer.goaway)
        late = node.peer.chat()
        assert (await node.peer.answer(late)).reset == ErrorCodes.REFUSED_STREAM
        await provider.abehave("ok")
        for one in streams:
            answer = await node.peer.answer(one)
            assert answer.ended
            assert answer.data.endswith(b"data: [DONE]\n\n")
        await node.gate.idle()
        await node.tunnels.drained()
        assert node.gateway.attempts == 1
    assert (await provider.acounters())["requests"] == 20
