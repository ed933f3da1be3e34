"""LiteLLM as a client: its `openai/` models."""

from __future__ import annotations

import io
import json
import os
import wave
from typing import Any

# Otherwise LiteLLM downloads its table of models from the internet.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
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
from pydantic import BaseModel

MESSAGES: list[Any] = [{"role": "user", "content": PROMPT}]
WHERE: dict[str, Any] = {"api_base": BASE_URL, "api_key": API_KEY}
TOOL = {"name": "weather", "description": "The weather in a city.", "parameters": WEATHER}
CHAT_TOOLS = [{"type": "function", "function": TOOL}]


class Answer(BaseModel):
    city: str
    degrees: int


def _complete(model: str = "gpt-4.1", messages: list[Any] = MESSAGES, **options: Any) -> Any:
    return litellm.completion(model=f"openai/{model}", messages=messages, **{**WHERE, **options})


@case
def models() -> list[str]:
    found = litellm.get_valid_models(
        check_provider_endpoint=True, custom_llm_provider="openai", api_key=API_KEY, api_base=BASE_URL
    )
    return [name.removeprefix("openai/") for name in found]


@case
def plain() -> list[Any]:
    answer = _complete()
    return [answer.choices[0].message.content, answer.usage.prompt_tokens, answer.usage.completion_tokens]


@case
async def stream() -> list[Any]:
    chunks = await litellm.acompletion(
        model="openai/gpt-4.1", messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **WHERE
    )
    whole: Any = litellm.stream_chunk_builder([chunk async for chunk in chunks])
    return [whole.choices[0].message.content, whole.usage.prompt_tokens, whole.usage.completion_tokens]


@case
def tools() -> list[Any]:
    asked = _complete(tools=CHAT_TOOLS).choices[0].message
    (call,) = asked.tool_calls
    given = json.loads(call.function.arguments)
    returned = {"role": "tool", "tool_call_id": call.id, "content": weather(**given)}
    final = _complete(messages=[*MESSAGES, asked, returned], tools=CHAT_TOOLS)
    return [call.function.name, given, final.choices[0].message.content]


@case
def tools_streamed() -> list[Any]:
    whole: Any = litellm.stream_chunk_builder(list(_complete(tools=CHAT_TOOLS, stream=True)))
    (call,) = whole.choices[0].message.tool_calls
    return [call.function.name, json.loads(call.function.arguments)]


@case
def structured() -> dict[str, Any]:
    text = _complete(response_format=Answer).choices[0].message.content
    return dict(Answer.model_validate_json(text).model_dump())


@case
def vision() -> list[Any]:
    content = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": IMAGE_URL}}]
    answer = _complete(messages=[{"role": "user", "content": content}])
    return [answer.choices[0].message.content, answer.usage.prompt_tokens]


@case
def embeddings() -> list[int]:
    made = litellm.embedding(model="openai/text-embedding-3-small", input=["one", "two"], **WHERE)
    return [len(item["embedding"]) for item in made.data]


@case
def responses() -> list[Any]:
    whole: Any = litellm.responses(model="openai/gpt-4.1", input=PROMPT, **WHERE)
    events: Any = litellm.responses(model="openai/gpt-4.1", input=PROMPT, stream=True, **WHERE)
    completed = [event for event in events if event.type == "response.completed"][-1].response
    return [whole.output_text, completed.output_text, completed.usage.output_tokens]


@case
def responses_tools() -> list[Any]:
    tools: Any = [{"type": "function", **TOOL}]
    asked: Any = litellm.responses(model="openai/gpt-4.1", input=PROMPT, tools=tools, **WHERE)
    (call,) = asked.output
    arguments = json.loads(call.arguments)
    returned = {"type": "function_call_output", "call_id": call.call_id, "output": weather(**arguments)}
    given: Any = [*MESSAGES, call.model_dump(), returned]
    final: Any = litellm.responses(model="openai/gpt-4.1", input=given, tools=tools, **WHERE)
    return [call.name, arguments, final.output_text]


@case
def images() -> bool:
    made: Any = litellm.image_generation(model="openai/gpt-image-1", prompt=PROMPT, **WHERE)
    return bool(made.data[0].b64_json)


@case
def audio() -> list[Any]:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    transcript: Any = litellm.transcription(model="openai/whisper-1", file=("a.wav", sound.getvalue()), **WHERE)
    spoken: Any = litellm.speech(model="openai/tts-1", voice="alloy", input=PROMPT, **WHERE)
    return [transcript.text, len(spoken.content)]


@case
def bad_key() -> list[Any]:
    return caught(lambda: _complete(api_key=BAD_KEY))


@case
def unknown_model() -> list[Any]:
    return caught(lambda: _complete("no-such-model"))


@case
def limited() -> list[Any]:
    answers = twice_at_once(lambda: _complete(api_key=LIMITED_KEY, num_retries=2))
    return [answer.choices[0].message.content for answer in answers]


@case
def failover() -> Any:
    return _complete("failover").choices[0].message.content


run()
