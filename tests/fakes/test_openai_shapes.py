"""The fake speaks OpenAI's API, as its official client sees it."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from tests.fakes.openai_answers import SPEECH
from tests.fakes.provider_process import ProviderProcess

PROMPT: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is a trunk line?"}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderProcess]:
    with ProviderProcess("a", api_keys=["sk-right"]) as process:
        yield process


@pytest.fixture
def client(provider: ProviderProcess) -> Iterator[OpenAI]:
    provider.behave("ok")
    provider.clear()
    with OpenAI(api_key="sk-right", base_url=provider.base_url, max_retries=0) as made:
        yield made


@pytest.mark.processes
def test_chat(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4.1", messages=PROMPT)
    assert answer.choices[0].message.content == "Hello from provider a."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "gpt-4.1"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (5, 4, 9)


def test_max_tokens_cuts_the_answer(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4.1", messages=PROMPT, max_completion_tokens=2)
    assert answer.choices[0].message.content == "Hello from "
    assert answer.choices[0].finish_reason == "length"


def test_chat_stream_without_usage(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="gpt-4.1", messages=PROMPT, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello from provider a."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_chat_stream_with_usage(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="gpt-4.1", messages=PROMPT, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (5, 4)
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_tool_call_and_its_answer(client: OpenAI) -> None:
    first = client.chat.completions.create(model="gpt-4.1", messages=PROMPT, tools=[WEATHER])
    calls = first.choices[0].message.tool_calls
    assert first.choices[0].finish_reason == "tool_calls"
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.name == "weather"
    assert json.loads(calls[0].function.arguments) == {"city": "text", "days": 1}
    followed: list[ChatCompletionMessageParam] = [
        *PROMPT,
        {"role": "tool", "tool_call_id": calls[0].id, "content": "rain"},
    ]
    second = client.chat.completions.create(model="gpt-4.1", messages=followed, tools=[WEATHER])
    assert second.choices[0].message.content == "Hello from provider a."


def test_tool_call_streams_in_pieces(client: OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-4.1", messages=PROMPT, tools=[WEATHER]) as stream:
        kinds = [event.type for event in stream]
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert kinds.count("tool_calls.function.arguments.delta") > 2
    assert calls is not None
    assert json.loads(calls[0].function.arguments) == {"city": "text", "days": 1}


def test_structured_output_fits_the_schema(client: OpenAI) -> None:
    class Step(BaseModel):
        text: str
        number: int
        done: bool

    class Plan(BaseModel):
        steps: list[Step]
        score: float | None

    parsed = client.chat.completions.parse(model="gpt-4.1", messages=PROMPT, response_format=Plan)
    plan = parsed.choices[0].message.parsed
    assert plan is not None
    assert plan.steps == [Step(text="text", number=1, done=True)]


def test_image_input_is_counted(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="gpt-4.1",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ],
            }
        ],
    )
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3 + 85


@pytest.mark.processes
def test_completions(client: OpenAI) -> None:
    answer = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Say hello")
    assert answer.choices[0].text == "Hello from provider a."
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 2
    stream = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Say hello", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "Hello from provider a."


def test_embeddings_in_base64_and_float_are_the_same(client: OpenAI) -> None:
    by_default = client.embeddings.create(model="text-embedding-3-small", input=["one two", "three"], dimensions=4)
    as_floats = client.embeddings.create(
        model="text-embedding-3-small", input=["one two", "three"], dimensions=4, encoding_format="float"
    )
    assert [item.embedding for item in by_default.data] == [item.embedding for item in as_floats.data]
    assert [len(item.embedding) for item in by_default.data] == [4, 4]
    assert by_default.usage.prompt_tokens == 3
    raw = client.embeddings.with_raw_response.create(
        model="text-embedding-3-small", input="one two", encoding_format="base64", dimensions=4
    )
    packed = json.loads(raw.content)["data"][0]["embedding"]
    assert list(struct.unpack("<4f", base64.b64decode(packed))) == as_floats.data[0].embedding


def test_models(client: OpenAI) -> None:
    assert "gpt-4.1" in [model.id for model in client.models.list()]
    assert client.models.retrieve("gpt-4.1").owned_by == "a"


def test_responses(client: OpenAI) -> None:
    answer = client.responses.create(model="gpt-4.1", input="Say hello")
    assert answer.output_text == "Hello from provider a."
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (2, 4)


def test_responses_stream(client: OpenAI) -> None:
    with client.responses.stream(model="gpt-4.1", input="Say hello") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") == 4
    assert final.output_text == "Hello from provider a."


def test_a_function_call_in_responses(client: OpenAI) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools: Any = [{"type": "function", "name": "weather", "parameters": parameters}]
    with client.responses.stream(model="gpt-4.1", input="Say hello", tools=tools) as stream:
        deltas = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
        (call,) = stream.get_final_response().output
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("weather", "".join(deltas))
    returned = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    final = client.responses.create(model="gpt-4.1", input=[call.to_dict(), returned], tools=tools)  # type: ignore[list-item]
    assert final.output_text == "Hello from provider a."


def test_a_schema_in_responses(client: OpenAI) -> None:
    class Answer(BaseModel):
        city: str
        degrees: int

    parsed = client.responses.parse(model="gpt-4.1", input="Say hello", text_format=Answer).output_parsed
    assert parsed == Answer(city="text", degrees=1)


def test_a_model_that_always_fails(client: OpenAI) -> None:
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="always-500", messages=PROMPT)


def test_images_and_audio(client: OpenAI) -> None:
    image = client.images.generate(model="gpt-image-1", prompt="a line")
    assert image.data is not None
    assert base64.b64decode(image.data[0].b64_json or "").startswith(b"\x89PNG")
    assert client.audio.speech.create(model="tts-1", voice="alloy", input="hello").content == SPEECH
    heard = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF" * 10))
    assert heard.text == "Heard 40 bytes."


def test_images_are_edited(client: OpenAI) -> None:
    edited = client.images.edit(model="gpt-image-1", image=("a.png", b"\x89PNG"), prompt="a line")
    assert edited.data is not None
    assert base64.b64decode(edited.data[0].b64_json or "").startswith(b"\x89PNG")
    with pytest.raises(openai.BadRequestError, match="model"):
        client.images.edit(image=("a.png", b"\x89PNG"), prompt="a line")


def test_moderations(client: OpenAI) -> None:
    answer = client.moderations.create(model="omni-moderation-latest", input=["a line", "violence"])
    assert [each.flagged for each in answer.results] == [False, True]
    harmless, violent = answer.results
    assert violent.categories.violence
    assert not harmless.categories.violence
    assert not violent.categories.self_harm_intent
    assert violent.category_scores.violence > violent.category_scores.hate
    assert violent.category_applied_input_types.sexual_minors == ["text"]
    # The whole published format: a missing field would be None.
    for of in (violent.categories, violent.category_scores, violent.category_applied_input_types):
        assert None not in of.model_dump().values()
    with pytest.raises(openai.BadRequestError, match="model"):
        client.moderations.create(input="a line")


def test_refusals_have_the_shape_the_client_knows(client: OpenAI, provider: ProviderProcess) -> None:
    with pytest.raises(openai.AuthenticationError) as wrong_key:
        client.with_options(api_key="sk-wrong").models.list()
    assert wrong_key.value.code == "invalid_api_key"
    with pytest.raises(openai.BadRequestError) as no_messages:
        client.chat.completions.create(model="gpt-4.1", messages=[])
    assert no_messages.value.param == "messages"
    with pytest.raises(openai.NotFoundError):
        client.get("/nothing", cast_to=object)
    provider.behave("status:429", retry_after="7")
    with pytest.raises(openai.RateLimitError) as limited:
        client.models.list()
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.code == "rate_limit_exceeded"


def test_the_model_name_paces_the_answer(client: OpenAI, provider: ProviderProcess) -> None:
    stream = client.chat.completions.create(model="vendor/paced-6-5", messages=PROMPT, stream=True)
    assert sum(bool(chunk.choices[0].delta.content) for chunk in stream) == 6
    record = provider.requests()[0]
    assert record.events_sent == 6 + 3  # the role's, the finish and [DONE]
    assert record.finished_monotonic is not None
    assert record.finished_monotonic - record.received_monotonic >= 8 * 0.005
