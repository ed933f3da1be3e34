"""Each probe against a server of its kind: the facts that it learns, and that it requests nothing that costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from node_sidecar.errors import ProbeError
from node_sidecar.probes.detect import KINDS, recognise
from node_sidecar.probes.http import LocalClient
from node_sidecar.probes.kind import Model, Observation, ServerKind
from tests.node_sidecar.llama import MODEL, Llama
from tests.node_sidecar.support.local_servers import LocalServer, lm_studio, ollama, plain, sglang, tgi, vllm
from tests.waiting import until_answered

LLAMA3 = {"capabilities": ["completion", "tools"], "context": 8192, "loaded": 4096}
EMBED = {"capabilities": ["embedding"], "context": 512}
#: The permitted requests, by kind: none of them generates a token or loads a model.
FREE = {
    "vllm": {"GET /health", "GET /v1/models", "GET /metrics", "GET /server_info"},
    "ollama": {"GET /api/tags", "GET /api/ps", "POST /api/show"},
    "sglang": {
        "GET /get_model_info",
        "GET /model_info",
        "GET /get_server_info",
        "GET /server_info",
        "GET /v1/models",
        "GET /metrics",
    },
    "tgi": {"GET /info", "GET /v1/models", "GET /metrics"},
    "lm-studio": {"GET /api/v0/models"},
    "openai": {"GET /v1/models"},
}
SERVERS: dict[str, Callable[[], LocalServer]] = {
    "vllm": lambda: vllm("qwen", running=2, waiting=5, cache=0.5),
    "ollama": lambda: ollama(llama3__8b=LLAMA3, nomic__latest=EMBED),
    "sglang": lambda: sglang("qwen"),
    "tgi": lambda: tgi("mistral"),
    "lm-studio": lm_studio,
    "openai": lambda: plain("m"),
}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def _probe(session: aiohttp.ClientSession, server: LocalServer) -> tuple[ServerKind, Observation]:
    async with server:
        local = LocalClient(session, server.url)
        kind = await recognise(local, only_known=False)
        assert kind is not None
        server.asked.clear()
        return kind, await kind.observe(local)


def test_every_kind_is_asked_for_free() -> None:
    """The tests of llama.cpp run the real one."""
    assert {*FREE, "llama.cpp"} == {*SERVERS, "llama.cpp"} == set(KINDS)


@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_is_recognised_and_asked_for_free(session: aiohttp.ClientSession, name: str) -> None:
    server = SERVERS[name]()
    kind, seen = await _probe(session, server)
    assert kind.name == name
    assert seen.healthy
    assert set(server.asked) <= FREE[name]


async def test_vllm(session: aiohttp.ClientSession) -> None:
    _, seen = await _probe(session, vllm("qwen", "qwen-lora", running=2, waiting=5, cache=0.5))
    assert seen == Observation((Model("qwen", 32768), Model("qwen-lora", 32768)), True, 2, 5, 500)


async def test_an_older_vllm_names_its_cache_otherwise(session: aiohttp.ClientSession) -> None:
    server = vllm("qwen", cache=0.125)
    server.answers["/metrics"] = server.answers["/metrics"].replace("kv_cache_usage", "gpu_cache_usage")
    _, seen = await _probe(session, server)
    assert seen.kv_cache == 125


async def test_vllm_whose_engine_died_is_unhealthy(session: aiohttp.ClientSession) -> None:
    server = vllm("qwen")
    server.answers["/health"] = (500, "text/plain", b"")
    _, seen = await _probe(session, server)
    assert not seen.healthy
    assert seen.models


async def test_ollama(session: aiohttp.ClientSession) -> None:
    _, seen = await _probe(session, ollama(llama3__8b=LLAMA3, nomic__latest=EMBED))
    assert seen.models == (
        Model("llama3:8b", 4096, ("chat", "completions", "tools")),
        Model("nomic:latest", 512, ("embeddings",)),
    )
    assert (seen.running, seen.waiting, seen.kv_cache) == (None, None, None)


async def test_ollama_is_asked_about_a_model_once(session: aiohttp.ClientSession) -> None:
    server = ollama(llama3__8b=LLAMA3)
    async with server:
        kind, local = KINDS["ollama"](), LocalClient(session, server.url)
        for _ in range(3):
            await kind.observe(local)
    assert server.asked.count("POST /api/show") == 1


async def test_sglang(session: aiohttp.ClientSession) -> None:
    _, seen = await _probe(session, sglang("qwen"))
    assert seen == Observation((Model("qwen", 131072),), True, 3, 1, 250, 128)


async def test_sglang_without_metrics_has_no_load(session: aiohttp.ClientSession) -> None:
    _, seen = await _probe(session, sglang("qwen", metrics=False))
    assert (seen.running, seen.waiting, seen.kv_cache) == (None, None, None)


async def test_tgi(session: aiohttp.ClientSession) -> None:
    _, seen = await _probe(session, tgi("mistral"))
    assert seen == Observation(
        (Model("mistral", 4096, ("chat", "completions", "tools")),), True, 2, 4, parallel=128
    )


async def test_lm_studio(session: aiohttp.ClientSession) -> None:
    _, seen = await _probe(session, lm_studio())
    assert seen.models == (
        Model("qwen2-vl-7b-instruct", 32768, ("chat", "completions", "vision")),
        Model("meta-llama-3.1-8b-instruct", 4096, ("chat", "completions", "tools")),
        Model("text-embedding-nomic-embed-text-v1.5", 2048, ("embeddings",)),
    )


@pytest.mark.processes
async def test_llama_cpp(session: aiohttp.ClientSession, llama: Llama) -> None:
    local = LocalClient(session, llama.url)
    kind = await recognise(local, only_known=True)
    assert kind is not None
    assert kind.name == "llama.cpp"

    async def at_rest() -> Observation | None:
        """An answer that an earlier test left behind may still be at work."""
        seen = await kind.observe(local)
        return seen if seen.running == 0 else None

    assert await until_answered(at_rest) == Observation((Model(MODEL, 256),), True, 0, parallel=2)


async def test_llama_cpp_at_work_shows_its_slots(session: aiohttp.ClientSession, llama: Llama) -> None:
    body = {"model": MODEL, "prompt": "a", "max_tokens": 200, "ignore_eos": True, "temperature": 0}
    kind, local = KINDS["llama.cpp"](), LocalClient(session, llama.url)

    async def work() -> None:
        while True:  # the tiny model is done so soon that a single answer may not be seen
            async with session.post(f"{llama.url}/v1/completions", json=body) as answer:
                await answer.read()

    async def at_work() -> bool:
        return (await kind.observe(local)).running == 1

    working = asyncio.create_task(work())
    try:
        assert await until_answered(at_work)
        assert not working.done()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


@pytest.mark.processes
@pytest.mark.slow
async def test_a_sleeping_llama_cpp_is_not_woken(session: aiohttp.ClientSession, tiny_model: Path) -> None:
    server = Llama(tiny_model, sleep_after=1)
    try:
        kind, local = KINDS["llama.cpp"](), LocalClient(session, server.url)
        ends = time.monotonic() + 60
        while not (await local.json("/props"))["is_sleeping"]:
            assert time.monotonic() < ends
        for _ in range(3):
            seen = await kind.observe(local)
        assert seen == Observation((Model(MODEL, 256),), True, None, parallel=2)
        assert (await local.json("/props"))["is_sleeping"]
    finally:
        server.kill()


async def test_a_loading_llama_cpp_is_unhealthy_until_it_is_there(session: aiohttp.ClientSession) -> None:
    """server.cpp answers every request like this while it loads."""
    loading = b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}'
    server = LocalServer(**dict.fromkeys(("/health", "/v1/models"), (503, "application/json", loading)))
    kind, seen = await _probe(session, server)
    assert kind.name == "llama.cpp"
    assert seen == Observation((), healthy=False)


async def test_a_llama_cpp_router_is_asked_for_its_list_alone(session: aiohttp.ClientSession) -> None:
    """The router's other endpoints take a model, and load it."""
    states = {"here": "loaded", "coming": "loading", "there": "unloaded"}
    data = [
        {"id": name, "object": "model", "owned_by": "llamacpp", "status": {"value": value}}
        for name, value in states.items()
    ]
    server = LocalServer(**{"/health": {"status": "ok"}, "/v1/models": {"object": "list", "data": data}})
    _, seen = await _probe(session, server)
    assert {model.name: model.loading for model in seen.models} == {"here": False, "coming": True, "there": False}
    assert set(server.asked) == {"GET /health", "GET /v1/models"}


async def test_at_a_default_port_only_a_known_kind_counts(session: aiohttp.ClientSession) -> None:
    async with plain("m") as server:
        assert await recognise(LocalClient(session, server.url), only_known=True) is None


async def test_the_api_key_is_sent(session: aiohttp.ClientSession) -> None:
    async with vllm("qwen") as server:
        await KINDS["vllm"]().observe(LocalClient(session, server.url, "local-key"))
    assert server.keys == {"Bearer local-key"}


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"null",
        b"[]",
        b'{"data": 5}',
        b'{"data": [5, {"id": 7}, {}]}',
        b'{"models": [{}]}',
        b"\xff",
        b"{" * 9000,
    ],
)
async def test_nonsense_is_an_error_or_no_models(
    session: aiohttp.ClientSession, name: str, garbage: bytes
) -> None:
    paths = {asked.split()[1] for asked in FREE[name]}
    server = LocalServer(**dict.fromkeys(paths, (200, "application/json", garbage)))
    async with server:
        try:
            seen = await KINDS[name]().observe(LocalClient(session, server.url))
        except ProbeError:
            return
    assert seen.models == ()


async def test_an_endless_answer_is_cut(session: aiohttp.ClientSession) -> None:
    server = LocalServer(**{"/v1/models": (200, "application/json", b" " * (9 * 1024 * 1024))})
    async with server:
        with pytest.raises(ProbeError, match="more than"):
            await LocalClient(session, server.url).json("/v1/models")
