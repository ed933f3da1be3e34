"""OpenAI's Python SDK against the gateway, beyond the cases that tests/clients tries with every client."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess

HELLO: list[Any] = [{"role": "user", "content": "hello there"}]
MODELS = ("gpt-4.1", "text-embedding-3-small", "gpt-image-1", "whisper-1", "tts-1")
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [{"model": model, "targets": [{"provider": "a", "model": model}]} for model in MODELS],
    }


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0) as opened:
        yield opened


def test_chat(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-4.1", messages=HELLO)
    completion = raw.parse()
    assert completion.choices[0].message.content
    assert completion.usage is not None
    assert raw.headers["x-trunkline-target"] == "a/gpt-4.1"
    assert raw.headers["x-trunkline-attempts"] == "1"
    assert raw.headers["x-request-id"]


def test_streaming(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="gpt-4.1", messages=HELLO, stream=True))
    plain = client.chat.completions.create(model="gpt-4.1", messages=HELLO)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == plain.choices[0].message.content


def test_tools_plain_and_streamed(client: OpenAI) -> None:
    completion = client.chat.completions.create(model="gpt-4.1", messages=HELLO, tools=[WEATHER])
    calls = completion.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.name == "weather"
    pieces = [
        delta.function.arguments or ""
        for chunk in client.chat.completions.create(model="gpt-4.1", messages=HELLO, tools=[WEATHER], stream=True)
        for choice in chunk.choices
        for delta in choice.delta.tool_calls or []
        if delta.function
    ]
    assert json.loads("".join(pieces)) == json.loads(calls[0].function.arguments)


def test_json_schema(client: OpenAI) -> None:
    class Answer(BaseModel):
        city: str
        degrees: int

    completion = client.chat.completions.parse(model="gpt-4.1", messages=HELLO, response_format=Answer)
    assert isinstance(completion.choices[0].message.parsed, Answer)


def test_image_input(client: OpenAI, provider_a: ProviderProcess) -> None:
    url = "data:image/png;base64," + base64.b64encode(os.urandom(200_000)).decode()
    content = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    provider_a.clear()
    messages: list[Any] = [{"role": "user", "content": content}]
    assert client.chat.completions.create(model="gpt-4.1", messages=messages).choices[0].message.content
    assert provider_a.requests()[0].json()["messages"] == messages


def test_embeddings(client: OpenAI) -> None:
    result = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert [len(item.embedding) > 0 for item in result.data] == [True, True]


def test_responses(client: OpenAI) -> None:
    assert client.responses.create(model="gpt-4.1", input="hello").output_text
    kinds = [event.type for event in client.responses.create(model="gpt-4.1", input="hello", stream=True)]
    assert kinds[-1] == "response.completed"


def test_completions(client: OpenAI) -> None:
    assert client.completions.create(model="gpt-4.1", prompt="hello").choices[0].text


def test_images_and_audio(client: OpenAI) -> None:
    assert client.images.generate(model="gpt-image-1", prompt="a trunk line").data
    transcript = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF" + bytes(1000)))
    assert transcript.text
    assert client.audio.speech.create(model="tts-1", voice="alloy", input="hello").content


def test_models(client: OpenAI) -> None:
    assert {model.id for model in client.models.list()} == set(MODELS)
    assert client.models.retrieve("gpt-4.1").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_errors_are_the_ones_the_sdk_knows(gateway: GatewayProcess, client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="no-such-model", messages=HELLO)
    assert unknown.value.code == "model_not_found"
    with (
        OpenAI(base_url=gateway.base_url, api_key="sk-nobody", max_retries=0) as nobody,
        pytest.raises(openai.AuthenticationError) as stranger,
    ):
        nobody.models.list()
    assert stranger.value.code == "invalid_api_key"


def test_a_ten_megabyte_body(client: OpenAI, provider_a: ProviderProcess) -> None:
    text = "ä" * 5_000_000
    provider_a.clear()
    completion = client.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": text}])
    assert completion.choices[0].message.content
    assert provider_a.requests()[0].body_bytes > 10_000_000


async def test_many_at_once_with_the_async_client(gateway: GatewayProcess) -> None:
    async with AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0) as client:
        answers = await asyncio.gather(
            *(client.chat.completions.create(model="gpt-4.1", messages=HELLO) for _ in range(50))
        )
    assert all(answer.choices[0].message.content for answer in answers)


async def test_a_client_that_leaves_a_stream_is_felt_upstream_at_once(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    """The upstream, which sends nothing in the meantime, notices in less than 100 ms: one of many attempts must
    show it, because a busy machine may pause any process at any moment.
    """
    await provider_a.abehave("held")
    for _ in range(100):
        await asyncio.to_thread(provider_a.clear)
        async with AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0) as client:
            stream = await client.chat.completions.create(model="gpt-4.1", messages=HELLO, stream=True)
            async for _chunk in stream:
                break
            left = time.monotonic()
            await stream.close()
        assert await provider_a.await_for("disconnects")
        (request,) = await provider_a.arequests()
        assert request.disconnected_monotonic is not None
        if request.disconnected_monotonic - left < 0.1:
            break
    else:
        pytest.fail("not once in 100 ms")
    await provider_a.abehave("ok")
