"""The cost of every endpoint in every response format, whatever its target reports about usage: to the nano-USD.

The provider counts a token for each word of the prompt, and one for each of the four pieces of its answer.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import itertools
import json
import random
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import exported, settled

Record = dict[str, Any]

#: Prices in USD, as in the configuration.
PRICES: dict[str, dict[str, Any]] = {
    "text": {"input": 2, "output": 8},
    "embedding": {"input": 0.02, "output": 0},
    "image": {"images": {"1024x1024/high": 0.167, "default": 0.04}},
    "speech": {"character": 15},
    "transcription": {"audio_second_input": 0.0001},
    "rerank": {"search_unit": 0.002},
}
#: Nano-USD per unit.
INPUT, OUTPUT, EMBEDDED, CHARACTER, SECOND, SEARCH = 2_000, 8_000, 20, 15_000, 100_000, 2_000_000
IMAGE, ANY_IMAGE = 167_000_000, 40_000_000
#: How a target reports usage, by its model's name.
FULLY, SILENT, PARTLY, LYING = TELLING = ("fully", "silent", "partly", "lying")

WORDS = "one two three four five"
PROMPT, ANSWER = 5, 4
ANSWER_BYTES = len("Hello from provider a.")
#: Of a stream whose client disconnects: its pieces, how many of them the client waits for, and how many events the
#: provider sends until then.
EVENTS, CUT_AFTER, HELD_AFTER = 400, 20, 30
MIXED = 10_000


def _sound(seconds: float) -> bytes:
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(round(16_000 * seconds)))
    return written.getvalue()


SOUND = _sound(3.5)


@dataclass(frozen=True, slots=True)
class Case:
    """A request, its cost in nano-USD, and the marks of its record. With `cut`, its client disconnects."""

    name: str
    path: str
    model: str
    cost: Callable[[Record], int | range]
    body: dict[str, Any] = field(default_factory=dict)
    form: dict[str, str] | None = None
    estimated: bool = False
    capped: bool = False
    cut: bool = False


def _tokens(prompt: int, completion: int) -> int:
    return prompt * INPUT + completion * OUTPUT


def _guessed(record: Record) -> int:
    """Returns the prompt tokens estimated from the request's bytes."""
    return int(record["request_bytes"]) // 4


def _most_prompt(record: Record) -> int:
    return int(record["request_bytes"]) * 3 // 2 + 4_096


def _most_completion(record: Record) -> int:
    return ANSWER_BYTES + min(131_072, 4_096 + 10 * (int(record["duration_us"]) // 1_000))


def _text(path: str, body: dict[str, Any], *, stream: bool, silent: int, partly: int) -> Iterator[Case]:
    """Yields cases whose completion is estimated, for a target that reports nothing, and for one that reports only
    the total.
    """
    body = {**body, "stream": True} if stream else body
    name = f"{path} {'streamed' if stream else 'plain'}"
    total = PROMPT + ANSWER
    costs: dict[str, Callable[[Record], int | range]] = {
        FULLY: lambda _: _tokens(PROMPT, ANSWER),
        SILENT: lambda record: _tokens(_guessed(record), silent),
        PARTLY: lambda _: _tokens(total - partly, partly),
        LYING: lambda record: _tokens(_most_prompt(record), _most_completion(record)),
    }
    for told, cost in costs.items():
        marks: dict[str, Any] = {"estimated": told in {SILENT, PARTLY}, "capped": told == LYING}
        yield Case(f"{name} {told}", path, f"text-{told}", cost, body, **marks)


def _cut(path: str, body: dict[str, Any], told: str) -> Case:
    model = f"text-{told}-paced-{EVENTS}-0"

    def cost(record: Record) -> range:
        """Returns the cost range of the sent request."""
        prompt = _guessed(record)
        return range(_tokens(prompt, CUT_AFTER - 5), _tokens(prompt, HELD_AFTER) + 1)

    name = f"{path} cut {told}"
    return Case(name, path, model, cost, {**body, "stream": True}, estimated=True, cut=True)


def _cases() -> Iterator[Case]:
    chat, completions, responses = "chat/completions", "completions", "responses"
    message: dict[str, Any] = {"messages": [{"role": "user", "content": WORDS}]}
    yield from _text(chat, message, stream=False, silent=5, partly=5)
    yield from _text(chat, message, stream=True, silent=4, partly=4)
    declined = {**message, "stream_options": {"include_usage": False}}
    yield from (
        Case(
            f"declined, {each.name}",
            each.path,
            each.model,
            each.cost,
            each.body,
            None,
            each.estimated,
            each.capped,
        )
        for each in _text(chat, declined, stream=True, silent=4, partly=4)
    )
    yield from _text(completions, {"prompt": WORDS}, stream=False, silent=5, partly=5)
    yield from _text(completions, {"prompt": WORDS}, stream=True, silent=4, partly=4)
    yield from _text(responses, {"input": WORDS}, stream=False, silent=5, partly=5)
    yield from _text(responses, {"input": WORDS}, stream=True, silent=4, partly=4)
    for told in TELLING:
        yield _cut(chat, message, told)
        yield _cut(responses, {"input": WORDS}, told)
    for stream in (False, True):
        stated = {**message, "max_tokens": 3, "stream": stream}

        def most(record: Record) -> int:
            return _tokens(_most_prompt(record), 3)

        yield Case(f"chat with a maximum, {stream=}", chat, "text-lying", most, stated, capped=True)

    for encoding, told in itertools.product(("float", "base64"), TELLING):
        costs: dict[str, Callable[[Record], int | range]] = {
            FULLY: lambda _: PROMPT * EMBEDDED,
            SILENT: lambda record: _guessed(record) * EMBEDDED,
            PARTLY: lambda _: PROMPT * EMBEDDED,
            LYING: lambda record: _most_prompt(record) * EMBEDDED,
        }
        body = {"input": WORDS, "encoding_format": encoding, "dimensions": 256}
        marks: dict[str, Any] = {"estimated": told == SILENT, "capped": told == LYING}
        yield Case(f"embeddings {encoding} {told}", "embeddings", f"embedding-{told}", costs[told], body, **marks)

    for told, large in itertools.product(TELLING, (False, True)):
        model = f"image-{told}{'-large' if large else ''}"
        marks = {"estimated": told in {SILENT, PARTLY}, "capped": told == LYING}
        high = {"prompt": WORDS, "n": 2, "size": "1024x1024", "quality": "high"}
        path = "images/generations"
        yield Case(f"images {told} {large=}", path, model, lambda _: 2 * IMAGE, high, **marks)
        yield Case(f"an image {told} {large=}", path, model, lambda _: ANY_IMAGE, {"prompt": WORDS}, **marks)

    for told in TELLING:
        spoken = {"input": "Grüße", "voice": "alloy"}
        model = f"speech-{told}"
        yield Case(f"speech {told}", "audio/speech", model, lambda _: 5 * CHARACTER, spoken, estimated=True)
        documents = {"query": "q", "documents": ["a", "b", "c"]}
        capped = told == LYING
        model = f"rerank-{told}"
        marks = {"estimated": told in {SILENT, PARTLY}, "capped": capped}
        yield Case(f"rerank {told}", "rerank", model, lambda _: SEARCH, documents, **marks)

    for told, shape in itertools.product(TELLING, ("json", "verbose_json", "text", "srt")):
        is_json = "json" in shape
        milliseconds = 4_000  # begun seconds
        if shape == "verbose_json" and told == PARTLY:
            milliseconds = 3_500
        elif is_json and told == LYING:
            milliseconds = 3_850 + 10_000
        yield Case(
            f"transcription {shape} {told}",
            "audio/transcriptions",
            f"transcription-{told}",
            lambda _, ms=milliseconds: ms * SECOND // 1_000,  # type: ignore[misc]
            form={"response_format": shape},
            estimated=not is_json or told in {SILENT, PARTLY},
            capped=is_json and told == LYING,
        )


CASES = list(_cases())
assert len({case.name for case in CASES}) == len(CASES)


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    paced = [f"{told}-paced-{EVENTS}-0" for told in TELLING]
    kinds = dict.fromkeys(PRICES, TELLING) | {
        "text": (*TELLING, *paced),
        "image": (*TELLING, *(f"{told}-large" for told in TELLING)),
    }
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            {"model": model, "targets": [{"provider": "a", "model": model, "price": PRICES[kind]}]}
            for kind, names in kinds.items()
            for model in (f"{kind}-{name}" for name in names)
        ],
    }


async def _send(session: aiohttp.ClientSession, case: Case) -> tuple[str, int]:
    """Sends a case. Returns the request's id and status, once the answer is complete or has come as far as the
    client waits.
    """
    if case.form is not None:
        data = aiohttp.FormData({"model": case.model, **case.form})
        data.add_field("file", SOUND, filename="a.wav", content_type="audio/wav")
        request = session.post(case.path, data=data)
    else:
        request = session.post(case.path, json={"model": case.model, **case.body})
    async with request as answer:
        if case.cut:
            seen = 0
            async for line in answer.content:
                seen += b"delta" in line and b"event:" not in line
                if seen > CUT_AFTER:
                    break
            else:
                raise AssertionError(f"the stream of {case.name} ended after {seen} pieces")
        else:
            await answer.read()
        return answer.headers["x-request-id"], answer.status


@asynccontextmanager
async def _session(gateway: GatewayProcess, connections: int) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=connections)
    headers = {"authorization": f"Bearer {gateway.api_key}"}
    async with aiohttp.ClientSession(f"{gateway.base_url}/", connector=connector, headers=headers) as session:
        yield session


@pytest.fixture(scope="module")
def records(gateway: GatewayProcess, provider_a: ProviderProcess) -> dict[str, Record]:
    """The record of every case, by its name."""
    cases = sorted(CASES, key=lambda case: case.cut)
    whole = [case for case in cases if not case.cut]

    async def sent() -> dict[str, Record]:
        async with _session(gateway, 16) as session:
            answers = await asyncio.gather(*(_send(session, case) for case in whole))
            await provider_a.abehave("held", after_events=HELD_AFTER)
            answers += await asyncio.gather(*(_send(session, case) for case in cases[len(whole) :]))
            assert await provider_a.await_for("disconnects", len(cases) - len(whole))
            await provider_a.abehave("ok")
        assert [status for _, status in answers] == [200] * len(cases)
        await settled(gateway)
        by_id = {record["id"]: record for record in await exported(gateway)}
        return {case.name: by_id[request_id] for case, (request_id, _) in zip(cases, answers, strict=True)}

    return asyncio.run(sent())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-").replace("/", "-"))
def test_what_a_request_costs(records: dict[str, Record], case: Case) -> None:
    record = records[case.name]
    expected = case.cost(record)
    if isinstance(expected, range):
        assert record["cost_nano_usd"] in expected
        assert "DC" in record["response_flags"]
    else:
        assert record["cost_nano_usd"] == expected
    assert (record["estimated"], record["capped"]) == (case.estimated, case.capped)


def test_a_lie_is_kept_beside_what_is_billed(records: dict[str, Record]) -> None:
    record = records["chat/completions plain lying"]
    assert record["claimed_prompt_tokens"] == record["claimed_completion_tokens"] == 2_000_000_000
    assert record["completion_tokens"] < 200_000


def _mixed(chance: random.Random) -> tuple[str, dict[str, Any], int]:
    """Returns a path, a body, and the provider's own charge for it."""
    words = chance.randint(1, 60)
    text = " ".join(["word"] * words)
    most = chance.randint(1, ANSWER)
    stream = chance.random() < 0.4
    options = {"stream_options": {"include_usage": chance.random() < 0.5}} if stream else {}
    match chance.choice(("chat", "chat", "chat", "completion", "response", "embedding", "image", "rerank")):
        case "chat":
            body = {
                "messages": [{"role": "user", "content": text}],
                "max_tokens": most,
                "stream": stream,
                **options,
            }
            return "chat/completions", {"model": "text-fully", **body}, _tokens(words, most)
        case "completion":
            body = {"prompt": text, "max_tokens": most, "stream": stream, **options}
            return "completions", {"model": "text-fully", **body}, _tokens(words, most)
        case "response":
            body = {"input": text, "max_output_tokens": most, "stream": stream}
            return "responses", {"model": "text-fully", **body}, _tokens(words, most)
        case "embedding":
            return "embeddings", {"model": "embedding-fully", "input": [text] * most}, most * words * EMBEDDED
        case "image":
            return "images/generations", {"model": "image-fully", "prompt": text, "n": most}, most * ANY_IMAGE
        case _:
            body = {"query": text, "documents": [text] * most}
            return "rerank", {"model": "rerank-fully", **body}, SEARCH


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_ledger_says_what_the_provider_says(gateway: GatewayProcess) -> None:
    """The sums agree to the nano-USD, over ten thousand requests of every kind."""
    chance = random.Random(9)
    requests = [_mixed(chance) for _ in range(MIXED)]
    waiting = iter(requests)
    sent: set[str] = set()

    async with _session(gateway, 24) as session:

        async def client() -> None:
            for path, body, _ in waiting:
                async with session.post(path, json=body) as answer:
                    await answer.read()
                    assert answer.status == 200
                    sent.add(answer.headers["x-request-id"])

        await asyncio.gather(*(client() for _ in range(24)))
    assert len(sent) == MIXED
    await settled(gateway)
    found = [record for record in await exported(gateway) if record["id"] in sent]
    assert len(found) == MIXED
    assert sum(record["cost_nano_usd"] for record in found) == sum(cost for _, _, cost in requests)
    assert not any(record["estimated"] or record["capped"] for record in found)


@asynccontextmanager
async def _compressing(seen: list[bytes]) -> AsyncIterator[int]:
    """A target that compresses every answer; yields its port, and keeps the heads of requests."""
    usage = {"prompt_tokens": 5, "completion_tokens": 400, "total_tokens": 405}
    message = {"role": "assistant", "content": " ".join(f"word{number}" for number in range(400))}
    body = gzip.compress(json.dumps({"choices": [{"message": message}], "usage": usage}).encode())

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head.lower())
        lines = head.lower().split(b"\r\n")
        await reader.readexactly(next(int(line[15:]) for line in lines if line.startswith(b"content-length:")))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n")
        writer.write(b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_compressed_answer_is_estimated_and_says_so(tmp_path: Path) -> None:
    seen: list[bytes] = []
    async with _compressing(seen) as port:
        config = {
            "version": 1,
            "providers": [{"name": "p", "base_url": f"http://127.0.0.1:{port}"}],
            "routes": [{"model": "m", "targets": [{"provider": "p", "model": "m", "price": PRICES["text"]}]}],
        }
        gateway = GatewayProcess(tmp_path / "data", config)
        await asyncio.to_thread(gateway.start)
        try:
            async with _session(gateway, 1) as session:
                body = {"model": "m", "messages": [{"role": "user", "content": WORDS}]}
                headers = {"accept-encoding": "gzip, br"}
                async with session.post("chat/completions", json=body, headers=headers) as answer:
                    assert (answer.status, answer.headers["content-encoding"]) == (200, "gzip")
                    assert (await answer.json())["usage"]["completion_tokens"] == 400
            await settled(gateway)
            (record,) = await exported(gateway)
        finally:
            await asyncio.to_thread(gateway.stop)
    assert [b"\r\naccept-encoding: identity\r\n" in head for head in seen] == [True]
    assert record["estimated"]
    assert 200 <= record["completion_tokens"] <= 1_600
