"""A machine joins the whole gateway with one command, and serves the permitted callers at its own price."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.nodes.asking import Answer, ask, figure, first_answer
from tests.gateway.nodes.conftest import Joins
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import settled
from tests.node_sidecar.llama import MODEL, Llama
from tests.node_sidecar.support.local_chats import CHATS, CONTENT, PROMPT_TOKENS
from tests.node_sidecar.support.local_servers import LocalServer, ollama, vllm
from tests.ports import ReservedPort
from tests.waiting import until

WORKERS = 2
ACME, RIVAL = "sk-key-of-acme-12345", "sk-key-of-rival-12345"


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    alone = (MODEL, "qwen", "llama3:8b", "lab")
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            *({"model": model, "targets": [{"nodes": model}]} for model in alone),
            {"model": "secret", "privacy": "own-nodes", "targets": [{"nodes": "lab"}]},
            {"model": "both", "targets": [{"nodes": "lab"}, {"provider": "a", "model": "gpt-4.1", "tier": 1}]},
        ],
        "organisations": [
            {"name": "acme", "keys": [{"name": "ci", "value": ACME}]},
            {"name": "rival", "keys": [{"name": "ci", "value": RIVAL}]},
        ],
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Iterator[GatewayProcess]:
    data_dir: Path = tmp_path_factory.mktemp("gw") / "data"
    arguments = ("--envoy-concurrency", str(WORKERS), "--allow-direct", "127.0.0.0/8")
    with GatewayProcess(data_dir, config, environment=PROVIDER_CREDENTIALS, arguments=arguments) as running:
        yield running


@pytest.fixture(scope="module")
def lab() -> Iterator[ProviderProcess]:
    """A local server with the model `lab`."""
    with ProviderProcess("lab", models=["lab"]) as server:
        yield server


def at(server: ProviderProcess) -> str:
    return server.base_url.removesuffix("/v1")


async def test_llama_cpp_serves_within_seconds_of_join(
    gateway: GatewayProcess, llama: Llama, joins: Joins
) -> None:
    node = await asyncio.to_thread(joins, llama.url)
    answer = await first_answer(gateway, MODEL)
    took = time.monotonic() - node.started
    figure("from join to the first 200, llama.cpp", took, "s")
    assert answer.target == f"nodes/{MODEL}"
    assert answer.json()["usage"]["completion_tokens"] == 4
    stream = await ask(gateway, MODEL, stream=True, max_tokens=20)
    assert stream.whole
    assert stream.body.count(b"data: {") > 3
    seen = await asyncio.to_thread(node.described)
    assert [(offer["model"], offer["server"]) for offer in seen["offers"]] == [(MODEL, "llama.cpp")]


@pytest.mark.parametrize("kind", ["vllm", "ollama"])
async def test_stand_ins_of_other_servers_serve_within_seconds_of_join(
    gateway: GatewayProcess, joins: Joins, kind: str
) -> None:
    server = stand_in(kind)
    model = {"vllm": "qwen", "ollama": "llama3:8b"}[kind]
    async with server:
        node = await asyncio.to_thread(joins, server.url)
        answer = await first_answer(gateway, model)
        took = time.monotonic() - node.started
        figure(f"from join to the first 200, {kind}", took, "s")
        assert answer.json()["choices"][0]["message"]["content"] == "".join(CONTENT)
        assert answer.json()["usage"]["prompt_tokens"] == PROMPT_TOKENS
        stream = await ask(gateway, model, stream=True)
        assert stream.whole
        assert b'"usage"' not in stream.body, "the client did not ask for it"
        seen = await asyncio.to_thread(node.described)
        assert [(offer["model"], offer["server"]) for offer in seen["offers"]] == [(model, kind)]


def stand_in(kind: str) -> LocalServer:
    server = (
        vllm("qwen")
        if kind == "vllm"
        else ollama(llama3__8b={"capabilities": ["completion", "tools"], "context": 8192, "loaded": 4096})
    )
    server.answers["/v1/chat/completions"] = CHATS[kind]
    return server


async def test_one_node_alone_is_reached_from_every_worker(
    gateway: GatewayProcess, lab: ProviderProcess, joins: Joins
) -> None:
    """There is no fallback: a worker without a tunnel would answer 503."""
    await asyncio.to_thread(joins, at(lab))
    await first_answer(gateway, "lab")
    before = await connections(gateway)
    answers: list[Answer] = []
    for _ in range(20):
        answers += await asyncio.gather(*(ask(gateway, "lab") for _ in range(10)))
    assert Counter(each.status for each in answers) == {200: 200}
    taken = [count - before[worker] for worker, count in (await connections(gateway)).items()]
    assert len(taken) == WORKERS
    assert min(taken) > 0, "the connections were spread over the workers"


async def connections(gateway: GatewayProcess) -> dict[str, int]:
    """Returns clients' connections by worker, from Envoy itself."""
    connector = aiohttp.UnixConnector(path=str(gateway.data_dir / "run/envoy-admin.sock"))
    listener = f"listener.{gateway.address[0]}_{gateway.address[1]}.worker_"
    async with aiohttp.ClientSession(connector=connector) as session, session.get("http://envoy/stats") as answer:
        lines = (line.partition(": ") for line in (await answer.text()).splitlines())
        return {name: int(value) for name, _, value in lines if name.startswith(listener) and "cx_total" in name}


async def test_a_node_that_needs_approval_serves_once_it_has_it(
    gateway: GatewayProcess, lab: ProviderProcess, joins: Joins
) -> None:
    node = await asyncio.to_thread(joins, at(lab), invite=["--require-approval"])
    seen = await asyncio.to_thread(node.await_seen, lambda seen: bool(seen["offers"]))
    assert (seen["state"], seen["approved"]) == ("pending", False)
    refused = await ask(gateway, "lab")
    assert (refused.status, refused.error) == (503, "no_healthy_upstream")
    await asyncio.to_thread(gateway.run, "nodes", "approve", "default/rig")
    assert (await first_answer(gateway, "lab")).target == "nodes/lab"
    await until(lambda: "trunkline nodes approve rig" in node.log and "node approved" in node.log)


async def test_what_a_node_serves_is_accounted_for_at_its_own_price(
    gateway: GatewayProcess, lab: ProviderProcess, joins: Joins
) -> None:
    node = await asyncio.to_thread(joins, at(lab), name="earner", join=["--price", "lab=0.15/0.70"])
    await asyncio.to_thread(node.await_online)
    served = [await ask(gateway, "lab", stream=stream) for stream in (False, True) * 5]
    assert Counter(each.status for each in served) == {200: 10}
    prompt, completion = 3, 4  # words of the prompt, words of the answer
    earned_nano_usd = (prompt * 150_000 + completion * 700_000) // 1_000 * len(served)
    await settled(gateway)
    rows = await verb(gateway, "usage", "report", "--by", "model,target")
    of_lab = next(row for row in rows if row["target"] == "nodes/lab")
    assert of_lab["requests"] >= len(served)
    (row,) = [row for row in await verb(gateway, "nodes", "contributions") if row["node"] == "earner"]
    assert (row["requests"], row["errors"]) == (len(served), 0)
    assert (row["prompt"], row["completion"]) == (prompt * len(served), completion * len(served))
    assert row["earned_usd"] == f"0.{earned_nano_usd:09}"
    status = (await asyncio.to_thread(gateway.run, "status", "--output", "json")).stdout
    assert {"node": "default/earner", "state": "online"}.items() <= json.loads(status)["nodes"][-1].items()

    # Seconds with a lease are stored every minute, and when the lease ends.
    await asyncio.to_thread(gateway.stop)
    await asyncio.to_thread(gateway.start)
    (again,) = [row for row in await verb(gateway, "nodes", "contributions") if row["node"] == "earner"]
    assert 0 < again.pop("uptime") < time.monotonic() - node.started + 2
    del row["uptime"]
    assert again == row


async def verb(gateway: GatewayProcess, *words: str) -> list[dict[str, Any]]:
    """Returns the rows that an admin verb lists."""
    return list(json.loads((await asyncio.to_thread(gateway.run, *words, "--output", "json")).stdout))


async def test_a_direct_node_serves(gateway: GatewayProcess, lab: ProviderProcess, joins: Joins) -> None:
    port = ReservedPort()
    address = f"127.0.0.1:{port.number}"
    node = await asyncio.to_thread(joins, at(lab), join=["--direct", address])
    answer = await first_answer(gateway, "lab")
    figure("from join to the first 200, direct", time.monotonic() - node.started, "s")
    assert answer.target == "nodes/lab"
    assert (await asyncio.to_thread(node.described))["reached"] == address
    stream = await ask(gateway, "lab", stream=True)
    assert stream.whole


async def test_another_organisation_reaches_a_node_once_it_is_the_communitys(
    gateway: GatewayProcess, lab: ProviderProcess, joins: Joins
) -> None:
    node = await asyncio.to_thread(joins, at(lab), organisation="acme")
    await first_answer(gateway, "lab", key=ACME)
    before = await chats(lab)
    refused = await ask(gateway, "lab", key=RIVAL)
    assert (refused.status, refused.error) == (503, "no_healthy_upstream")
    assert await chats(lab) == before
    await asyncio.to_thread(gateway.run, "nodes", "update", node.node_id, "--visibility", "community")
    assert (await first_answer(gateway, "lab", key=RIVAL)).target == "nodes/lab"
    await asyncio.to_thread(gateway.run, "nodes", "update", node.node_id, "--visibility", "organisation")
    assert (await ask(gateway, "lab", key=RIVAL)).status == 503
    assert (await ask(gateway, "lab", key=ACME)).status == 200


async def chats(server: ProviderProcess) -> int:
    """Returns the number of requests that a local server or a provider has received, without those of probes."""
    return sum(1 for each in await server.arequests() if each.method == "POST")


async def test_what_belongs_on_own_machines_never_leaves_them(
    gateway: GatewayProcess, lab: ProviderProcess, provider_a: ProviderProcess, joins: Joins
) -> None:
    nobody = await ask(gateway, "secret", key=ACME)
    assert (nobody.status, nobody.error) == (503, "no_own_nodes")
    node = await asyncio.to_thread(joins, at(lab), organisation="acme", invite=["--visibility", "community"])
    assert (await first_answer(gateway, "secret", key=ACME)).target == "nodes/lab"
    foreign = await ask(gateway, "secret", key=RIVAL)
    assert (foreign.status, foreign.error) == (503, "no_own_nodes")

    node.kill()
    for stream in (False, True) * 10:
        answer = await ask(gateway, "secret", key=ACME, stream=stream)
        assert answer.status == 503
        assert answer.error in {"no_healthy_upstream", "upstream_unreachable"}
    assert await chats(provider_a) == 0
    assert (await ask(gateway, "both", key=ACME)).target == "a/gpt-4.1", "the provider was available all the time"
