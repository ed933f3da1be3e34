from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from node_sidecar.preferences.model import Preferences, UpstreamPreference
from node_sidecar.probes.watch import Watch
from node_sidecar.upstreams import Upstreams
from tests.node_sidecar.support.local_servers import ollama, plain, vllm

LLAMA3 = {"capabilities": ["completion"], "context": 8192}


class Watched:
    """A running watch, and a way to wait for its findings."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._changed = asyncio.Event()
        watch.changed = self._changed.set

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def models(self) -> set[str]:
        return {model.name for server in self.watch.servers for model in server.health.models}

    def healthy(self) -> list[bool]:
        return [server.health.healthy for server in self.watch.servers]


@asynccontextmanager
async def _watching(*upstreams: UpstreamPreference, ports: tuple[int, ...] = ()) -> AsyncIterator[Watched]:
    watched = Watched(Watch(upstreams, structlog.get_logger(), interval=0.02, ports=ports))
    running = asyncio.create_task(watched.watch.run())
    try:
        yield watched
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_servers_are_found_at_default_ports() -> None:
    async with (
        ollama(llama3__8b=LLAMA3) as first,
        vllm("qwen") as second,
        plain("gateway") as third,
        _watching(ports=(first.port, second.port, third.port)) as watched,
    ):
        await watched.until(lambda: watched.models() == {"llama3:8b", "qwen"})
        await watched.watch.ready.wait()
        assert [server.kind_name for server in watched.watch.servers] == ["ollama", "vllm", ""]


async def test_a_named_server_may_speak_just_openais_dialect() -> None:
    async with plain("m") as server, _watching(UpstreamPreference(server.url)) as watched:
        await watched.until(lambda: watched.models() == {"m"})
        assert watched.watch.servers[0].kind_name == "openai"


async def test_a_server_that_starts_later_is_found() -> None:
    server = vllm("qwen")
    await server.start()
    await server.stop()
    async with _watching(UpstreamPreference(server.url)) as watched:
        await watched.watch.ready.wait()
        assert watched.healthy() == [False]
        async with server:
            await watched.until(lambda: watched.healthy() == [True])


async def test_a_server_that_dies_is_unhealthy_and_comes_back() -> None:
    async with vllm("qwen") as server, _watching(UpstreamPreference(server.url)) as watched:
        await watched.until(lambda: watched.healthy() == [True])
        await server.stop()
        await watched.until(lambda: watched.healthy() == [False])
        assert watched.models() == {"qwen"}
        await server.start()
        await watched.until(lambda: watched.healthy() == [True])


async def test_other_upstreams_take_effect_at_once() -> None:
    async with vllm("a") as first, vllm("b") as second, _watching(UpstreamPreference(first.url)) as watched:
        await watched.until(lambda: watched.models() == {"a"})
        kept = watched.watch.servers[0]
        watched.watch.configure([UpstreamPreference(first.url), UpstreamPreference(second.url)])
        await watched.until(lambda: watched.models() == {"a", "b"})
        assert watched.watch.servers[0] is kept
        watched.watch.configure([UpstreamPreference(second.url)])
        assert watched.models() == {"b"}


async def test_a_server_that_hangs_does_not_stop_the_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # the connection is accepted, but not answered
        port = hanging.getsockname()[1]
        async with vllm("good") as good:
            preferences = UpstreamPreference(f"http://127.0.0.1:{port}", kind="vllm"), UpstreamPreference(good.url)
            async with _watching(*preferences) as watched:
                await watched.until(lambda: watched.models() == {"good"})


async def test_requests_go_to_the_server_with_the_fewest() -> None:
    async with (
        plain("m") as first,
        plain("m") as second,
        _watching(UpstreamPreference(first.url), UpstreamPreference(second.url, "key")) as watched,
    ):
        await watched.until(lambda: watched.healthy() == [True, True])
        upstreams = Upstreams(watched.watch.servers, Preferences())
        one = upstreams.find("m")
        assert one is not None
        with one.serving():
            two = upstreams.find("m")
            assert two is not None
            assert {one.base_url, two.base_url} == {f"{first.url}/v1", f"{second.url}/v1"}
            with two.serving():
                pass
            assert upstreams.find("m") == two
        assert upstreams.find("other") is None
        await first.stop()
        await watched.until(lambda: watched.healthy() == [False, True])
        alone = upstreams.find("m")
        assert alone is not None
        assert (alone.base_url, alone.api_key) == (f"{second.url}/v1", "key")


async def test_a_model_whose_server_is_away_is_loading() -> None:
    async with plain("m") as server, _watching(UpstreamPreference(server.url)) as watched:
        await watched.until(lambda: watched.healthy() == [True])
        upstreams = Upstreams(watched.watch.servers, Preferences())
        assert not upstreams.loading("m")
        await server.stop()
        await watched.until(lambda: watched.healthy() == [False])
        assert upstreams.find("m") is None
        assert upstreams.loading("m")
        assert not upstreams.loading("other")


async def test_a_model_that_is_not_offered_is_not_served() -> None:
    async with plain("private", "public") as server, _watching(UpstreamPreference(server.url)) as watched:
        await watched.until(lambda: watched.healthy() == [True])
        upstreams = Upstreams(watched.watch.servers, Preferences(models=("pub*",)))
        assert upstreams.find("private") is None
        assert not upstreams.loading("private")
        assert upstreams.find("public") is not None
