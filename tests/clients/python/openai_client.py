"""The official Python SDK."""

from __future__ import annotations

import io
import json
import wave
from typing import Any

from cases import (
    API_KEY,
    BAD_KEY,
    BASE_URL,
    IMAGE_URL,
    LIMITED_KEY,
    PROMPT,
    WEATHER,
    case,
    caught,
    run,
    twice_at_once,
    weather,
)
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

client = OpenAI(base_url=BASE_URL, api_key=API_KEY)
MESSAGES: list[Any] = [{"role": "user", "content": PROMPT}]
TOOL: dict[str, Any] = {"name": "weather", "description": "The weather in a city.", "parameters": WEATHER}


class Answer(BaseModel):
    city: str
    degrees: int


@case
def models() -> list[str]:
    return [model.id for model in client.models.list()]


@case
def plain() -> list[Any]:
    completion = client.chat.completions.create(model="gpt-4.1", messages=MESSAGES)
    assert completion.usage is not None
    return [
        completion.choices[0].message.content,
        completion.usage.prompt_tokens,
        completion.usage.completion_tokens,
    ]


@case
async def stream() -> list[Any]:
    text, used = "", []
    async with AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY) as asynchronous:
        chunks = await asynchronous.chat.completions.create(
            model="gpt-4.1", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        async for chunk in chunks:
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            if chunk.usage is not None:
                used = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens]
    return [text, *used]


@case
def tools() -> list[Any]:
    tool: Any = {"type": "function", "function": TOOL}
    asked = client.chat.completions.create(model="gpt-4.1", messages=MESSAGES, tools=[tool]).choices[0].message
    assert asked.tool_calls is not None
    (call,) = asked.tool_calls
    assert call.type == "function"
    returned = {"role": "tool", "tool_call_id": call.id, "content": weather(**json.loads(call.function.arguments))}
    # The SDK accepts its own answers as input, although its types do not say so.
    given: list[Any] = [*MESSAGES, asked, returned]
    final = client.chat.completions.create(model="gpt-4.1", messages=given, tools=[tool])
    return [call.function.name, json.loads(call.function.arguments), final.choices[0].message.content]


@case
def tools_streamed() -> list[Any]:
    tool: Any = {"type": "function", "function": {**TOOL, "strict": True}}
    with client.chat.completions.stream(model="gpt-4.1", messages=MESSAGES, tools=[tool]) as events:
        final = events.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    return [calls[0].function.name, calls[0].function.parsed_arguments]


@case
def structured() -> dict[str, Any]:
    completion = client.chat.completions.parse(model="gpt-4.1", messages=MESSAGES, response_format=Answer)
    assert completion.choices[0].message.parsed is not None
    return completion.choices[0].message.parsed.model_dump()


@case
def vision() -> list[Any]:
    content = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": IMAGE_URL}}]
    messages: list[Any] = [{"role": "user", "content": content}]
    completion = client.chat.completions.create(model="gpt-4.1", messages=messages)
    assert completion.usage is not None
    return [completion.choices[0].message.content, completion.usage.prompt_tokens]


@case
def embeddings() -> list[int]:
    made = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    return [len(item.embedding) for item in made.data]


@case
def responses() -> list[Any]:
    response = client.responses.create(model="gpt-4.1", input=PROMPT)
    with client.responses.stream(model="gpt-4.1", input=PROMPT) as events:
        streamed = events.get_final_response()
    assert streamed.usage is not None
    return [response.output_text, streamed.output_text, streamed.usage.output_tokens]


@case
def responses_tools() -> list[Any]:
    tool: Any = {"type": "function", "strict": True, **TOOL}
    asked = client.responses.create(model="gpt-4.1", input=PROMPT, tools=[tool])
    (call,) = asked.output
    assert call.type == "function_call"
    output = {
        "type": "function_call_output",
        "call_id": call.call_id,
        "output": weather(**json.loads(call.arguments)),
    }
    given: Any = [{"role": "user", "content": PROMPT}, call, output]
    final = client.responses.create(model="gpt-4.1", input=given, tools=[tool])
    return [call.name, json.loads(call.arguments), final.output_text]


@case
def images() -> bool:
    made = client.images.generate(model="gpt-image-1", prompt=PROMPT)
    return bool(made.data and made.data[0].b64_json)


@case
def audio() -> list[Any]:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    transcript = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", sound.getvalue()))
    spoken = client.audio.speech.create(model="tts-1", voice="alloy", input=PROMPT)
    return [transcript.text, len(spoken.content)]


@case
def bad_key() -> list[Any]:
    return caught(OpenAI(base_url=BASE_URL, api_key=BAD_KEY).models.list)


@case
def unknown_model() -> list[Any]:
    return caught(lambda: client.chat.completions.create(model="no-such-model", messages=MESSAGES))


@case
def limited() -> list[Any]:
    hasty = OpenAI(base_url=BASE_URL, api_key=LIMITED_KEY)
    made = twice_at_once(lambda: hasty.chat.completions.create(model="gpt-4.1", messages=MESSAGES))
    return [completion.choices[0].message.content for completion in made]


@case
def failover() -> str | None:
    return client.chat.completions.create(model="failover", messages=MESSAGES).choices[0].message.content


run()
