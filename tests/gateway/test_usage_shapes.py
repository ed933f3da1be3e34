"""Chats as well-known providers answer them, through the whole gateway: what clients receive, and what the ledger
has.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import aiohttp
import pytest

from tests.fakes.usage_shapes import SHAPES, Shape
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import exported, settled

CHATS = [shape for shape in SHAPES if shape.generates and not shape.units]
STREAM_TYPES = itertools.cycle(["text/event-stream", "Text/Event-Stream; charset=utf-8", "TEXT/EVENT-STREAM;x=y"])
WHOLE_TYPES = itertools.cycle(
    ["application/json", "application/json;charset=UTF-8", "Application/Vnd.X+Json; a=b"]
)
#: With this size, pieces end in every part of an event sooner or later.
PIECE = 97
#: Large enough that none of these claims is implausible.
PROMPT = "x" * 200_000
#: Fields of a record by those of `Tokens`.
FIELDS = {
    "prompt": "prompt_tokens",
    "completion": "completion_tokens",
    "cached": "cached_tokens",
    "reasoning": "reasoning_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "audio_input": "audio_prompt_tokens",
    "audio_output": "audio_completion_tokens",
    "tier": "service_tier",
    "estimated": "estimated",
}
#: USD per million tokens: each kind has a rate that no other has.
PRICE = {"input": 2, "output": 8, "cached_input": 0.5, "cache_write": 3, "cache_write_1h": 5}
PRICE |= {"reasoning": 9, "audio_input": 40, "audio_output": 80}


def cost(used: dict[str, Any]) -> float:
    """Returns nano-USD by PRICE."""
    kinds = {name: used.get(name, 0) for name in FIELDS if name not in {"tier", "estimated"}}
    prompt, completion = kinds.pop("prompt"), kinds.pop("completion")
    rates = PRICE | {"cached": PRICE["cached_input"]}
    text = prompt - sum(kinds[name] for name in ("cached", "cache_write", "cache_write_1h", "audio_input"))
    made = completion - kinds["reasoning"] - kinds["audio_output"]
    by_kind = sum(count * rates[name] for name, count in kinds.items())
    return float(1_000 * (text * PRICE["input"] + made * PRICE["output"] + by_kind))


def body_of(shape: Shape) -> bytes:
    return b"".join(shape.events()) if shape.streamed else json.dumps(shape.body, indent=1).encode()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers in pieces, in the shape whose number the model's name ends with."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    shape = CHATS[int(json.loads(await reader.readexactly(length))["model"].removeprefix("shape-"))]
    kind = next(STREAM_TYPES if shape.streamed else WHOLE_TYPES).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n" % kind)
    body = body_of(shape)
    for start in range(0, len(body), PIECE):
        piece = body[start : start + PIECE]
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    writer.close()


async def asked(session: aiohttp.ClientSession, number: int, *, include_usage: bool) -> tuple[str, bytes]:
    """Sends a chat. Returns the request's id, and what its client got."""
    body: dict[str, Any] = {"model": f"shape-{number}", "messages": [{"role": "user", "content": PROMPT}]}
    if CHATS[number].streamed:
        body |= {"stream": True, "stream_options": {"include_usage": include_usage}}
    async with session.post("chat/completions", json=body) as got:
        assert got.status == 200
        return got.headers["x-request-id"], await got.read()


Outcome = tuple[bytes, bytes, dict[str, Any]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """For each shape, what a client got that declined usage, and one that requested it; and the record of the
    first.
    """

    async def sent() -> list[Outcome]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        models = [f"shape-{number}" for number in range(len(CHATS))]
        target = {"provider": "p", "price": PRICE}
        config = {
            "version": 1,
            "providers": [{"name": "p", "base_url": f"http://127.0.0.1:{port}"}],
            "routes": [{"model": each, "targets": [target | {"model": each}]} for each in models],
        }
        gateway = GatewayProcess(tmp_path_factory.mktemp("gw") / "data", config)
        await asyncio.to_thread(gateway.start)
        try:
            headers = {"authorization": f"Bearer {gateway.api_key}"}
            async with server, aiohttp.ClientSession(f"{gateway.base_url}/", headers=headers) as session:
                declined = [await asked(session, number, include_usage=False) for number in range(len(CHATS))]
                wished = [await asked(session, number, include_usage=True) for number in range(len(CHATS))]
            await settled(gateway)
            records = {record["id"]: record for record in await exported(gateway)}
        finally:
            await asyncio.to_thread(gateway.stop)
        return [(one[1], two[1], records[one[0]]) for one, two in zip(declined, wished, strict=True)]

    return asyncio.run(sent())


@pytest.mark.parametrize("number", range(len(CHATS)), ids=[shape.name.replace(" ", "-") for shape in CHATS])
def test_a_chat(outcomes: list[Outcome], number: int) -> None:
    shape = CHATS[number]
    declined, wished, record = outcomes[number]
    assert wished == body_of(shape)
    assert declined == (b"".join(shape.events(hidden=False)) if shape.streamed else body_of(shape))
    found = {name: record[field] for name, field in FIELDS.items() if record[field]}
    assert {"prompt": 0, "completion": 0} | found == shape.used
    assert not record["capped"]
    assert record["cost_nano_usd"] == cost(shape.used)
