"""How many requests local servers say that they can batch, each in the format of its kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from node_sidecar.errors import ProbeError
from node_sidecar.probes.detect import KINDS
from node_sidecar.probes.http import LocalClient
from node_sidecar.probes.kind import parallel
from tests.node_sidecar.support.local_servers import LocalServer, lm_studio, ollama, plain, sglang, tgi, vllm

LLAMA = {"id": "m.gguf", "object": "model", "owned_by": "llamacpp", "meta": {"n_ctx_train": 512}}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def llama_cpp(**props: Any) -> LocalServer:
    """Returns llama.cpp's server, with /props as in its README."""
    settings = {"default_generation_settings": {"n_ctx": 4096}, "modalities": {"vision": False}}
    return LocalServer(
        **{
            "/health": {"status": "ok"},
            "/v1/models": {"object": "list", "data": [LLAMA]},
            "/props": {**settings, "model_path": "m.gguf", "is_sleeping": False, **props},
        }
    )


def _tgi(**info: Any) -> LocalServer:
    server = tgi("m")
    server.answers["/info"] |= info
    return server


def _sglang(info: Any) -> LocalServer:
    server = sglang("m")
    server.answers["/get_server_info"] = info
    return server


@pytest.mark.parametrize(
    ("kind", "server", "told"),
    [
        ("llama.cpp", llama_cpp(total_slots=4), 4),
        ("llama.cpp", llama_cpp(total_slots=4, is_sleeping=True), 4),
        ("llama.cpp", llama_cpp(), None),
        ("llama.cpp", llama_cpp(total_slots="many"), None),
        ("sglang", sglang("m", rooms=(52,)), 52),
        ("sglang", sglang("m", rooms=(64, 64)), 128),
        ("sglang", _sglang({"max_running_requests": 32, "internal_states": [{}]}), 32),
        ("sglang", _sglang({"max_running_requests": None}), None),
        ("sglang", _sglang(["what"]), None),
        ("vllm", vllm("m", sequences=64), 64),
        ("vllm", vllm("m"), None),
        ("tgi", _tgi(), 128),
        ("tgi", _tgi(max_batch_size=8), 8),
        ("tgi", _tgi(max_batch_size=None), 128),
        ("ollama", ollama(m={"capabilities": ["completion"], "context": 8}), None),
        ("lm-studio", lm_studio(), None),
        ("openai", plain("m"), None),
    ],
)
async def test_what_is_reported(
    session: aiohttp.ClientSession, kind: str, server: LocalServer, told: int | None
) -> None:
    async with server:
        assert (await KINDS[kind]().observe(LocalClient(session, server.url))).parallel == told


@pytest.mark.parametrize(
    ("kind", "server", "path"),
    [("vllm", vllm("m", sequences=8), "/server_info"), ("sglang", sglang("m", rooms=(8,)), "/get_server_info")],
)
async def test_it_is_asked_once_and_again_after_a_restart(
    session: aiohttp.ClientSession, kind: str, server: LocalServer, path: str
) -> None:
    probe = KINDS[kind]()
    async with server:
        local = LocalClient(session, server.url)
        for _ in range(3):
            assert (await probe.observe(local)).parallel == 8
        assert server.asked.count(f"GET {path}") == 1
        await server.stop()
        with pytest.raises(ProbeError):
            await probe.observe(local)
        another = vllm("m", sequences=16) if kind == "vllm" else sglang("m", rooms=(16,))
        server.answers = another.answers
        await server.start()
        assert (await probe.observe(local)).parallel == 16


@pytest.mark.parametrize(
    ("value", "found"), [(1, 1), (0, None), (-1, None), (True, None), ("4", None), (10**9, None)]
)
def test_only_a_sensible_number_counts(value: Any, found: int | None) -> None:
    assert parallel(value) == found
