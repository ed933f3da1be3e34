"""Small costs add up to the nano-USD, and a target that lies spoils no books, through a real gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.usage import exported, settled

HONEST = {"prompt_tokens": 20, "total_tokens": 20}
#: The claim of the attack on the ledger: at the highest price, more than the books could hold.
ABSURD = {"prompt_tokens": 2_000_000_000, "completion_tokens": 2_000_000_000}
MOST_USD = 1_000_000_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    data_dir: Path = tmp_path_factory.mktemp("gw") / "data"
    with GatewayProcess(data_dir) as running:
        yield running


@asynccontextmanager
async def upstream() -> AsyncIterator[int]:
    """Answers embeddings with HONEST usage, and everything else with ABSURD; yields its port."""

    connections: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
                await reader.readexactly(int(fields[b"content-length"]))
                honest = b"/embeddings" in head.partition(b"\r\n")[0]
                body = json.dumps(
                    {"data": [{}], "usage": HONEST} if honest else {"choices": [{}], "usage": ABSURD}
                )
                length = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(f"HTTP/1.1 200 OK\r\n{length}{body}".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        # Envoy keeps them open.
        for writer in connections:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in connections), return_exceptions=True)


def config(port: int) -> dict[str, Any]:
    def route(model: str, price: dict[str, Any]) -> dict[str, Any]:
        return {"model": model, "targets": [{"provider": "p", "model": model, "price": price}]}

    return {
        "version": 1,
        "providers": [{"name": "p", "base_url": f"http://127.0.0.1:{port}"}],
        "routes": [
            route("embed", {"input": 0.02, "output": 0}),
            route("liar", {"input": MOST_USD, "output": MOST_USD}),
        ],
    }


async def report(gateway: GatewayProcess) -> dict[str, dict[str, Any]]:
    """Returns the usage report by model."""
    verb = ("usage", "report", "--by", "model", "--output", "json")
    done = await asyncio.to_thread(gateway.run, *verb)
    assert "could not be stored" not in done.stderr
    return {row["model"]: row for row in json.loads(done.stdout)}


async def test_a_hundred_small_costs_and_an_absurd_claim_among_them(gateway: GatewayProcess) -> None:
    async with upstream() as port:
        await asyncio.to_thread(gateway.apply, config(port))
        headers = {"authorization": f"Bearer {gateway.api_key}"}
        async with aiohttp.ClientSession(gateway.base_url + "/", headers=headers) as session:

            async def send(path: str, body: dict[str, Any]) -> None:
                async with session.post(path, json=body) as answer:
                    assert answer.status == 200, await answer.text()

            lie = {"model": "liar", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
            for number in range(100):
                await send("embeddings", {"model": "embed", "input": "x"})
                if number % 20 == 0:
                    await send("chat/completions", lie)
        await settled(gateway)
    records = await exported(gateway)
    embeddings = [each for each in records if each["model"] == "embed"]
    assert [each["cost_nano_usd"] for each in embeddings] == [400] * 100
    assert {each["cost_micro_usd"] for each in embeddings} == {0}
    lies = [each for each in records if each["model"] == "liar"]
    assert len(lies) == 5
    for each in lies:
        assert (each["capped"], each["claimed_prompt_tokens"]) == (True, ABSURD["prompt_tokens"])
        assert each["prompt_tokens"] + each["completion_tokens"] < 10_000
        assert each["cost_nano_usd"] <= 10_000 * 10**9
    by_model = await report(gateway)
    assert Decimal(by_model["embed"]["cost_usd"]) == Decimal("0.00004")
    assert (by_model["liar"]["capped"], by_model["embed"]["capped"]) == (5, 0)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.admin_url}/metrics/translator") as answer,
    ):
        metrics = (await answer.text()).splitlines()
    assert "trunkline_translator_claims_capped_total 5.0" in metrics
    assert "trunkline_translator_records_refused_total 0.0" in metrics
