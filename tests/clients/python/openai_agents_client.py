"""OpenAI's Agents SDK, over the responses API and the chat API."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    ToolCallItem,
    function_tool,
    set_tracing_disabled,
)
from cases import API_KEY, BAD_KEY, BASE_URL, IMAGE_URL, LIMITED_KEY, PROMPT, case, caught, run, weather
from openai import AsyncOpenAI
from pydantic import BaseModel

# Otherwise traces would go to OpenAI.
set_tracing_disabled(True)


class Answer(BaseModel):
    city: str
    degrees: int


def _agent(kind: Any, model: str = "gpt-4.1", key: str = API_KEY, **options: Any) -> Agent[None]:
    client = AsyncOpenAI(base_url=BASE_URL, api_key=key)
    settings = ModelSettings(include_usage=True)
    return Agent(name="test", model=kind(model, client), model_settings=settings, **options)


def _calls(result: Any) -> list[Any]:
    return [item.raw_item for item in result.new_items if isinstance(item, ToolCallItem)]


async def _tools(kind: Any) -> list[Any]:
    result = await Runner.run(_agent(kind, tools=[function_tool(weather)]), PROMPT)
    (call,) = _calls(result)
    return [call.name, json.loads(call.arguments), result.final_output]


async def _stream(kind: Any) -> list[Any]:
    result = Runner.run_streamed(_agent(kind), PROMPT)
    events = [event async for event in result.stream_events() if event.type == "raw_response_event"]
    text = "".join(event.data.delta for event in events if event.data.type == "response.output_text.delta")
    usage = result.context_wrapper.usage
    return [text, usage.input_tokens, usage.output_tokens]


@case
async def plain() -> list[Any]:
    result = await Runner.run(_agent(OpenAIChatCompletionsModel), PROMPT)
    usage = result.context_wrapper.usage
    return [result.final_output, usage.input_tokens, usage.output_tokens]


@case
async def stream() -> list[Any]:
    return await _stream(OpenAIChatCompletionsModel)


@case
async def tools() -> list[Any]:
    return await _tools(OpenAIChatCompletionsModel)


@case
async def tools_streamed() -> list[Any]:
    result = Runner.run_streamed(_agent(OpenAIChatCompletionsModel, tools=[function_tool(weather)]), PROMPT)
    async for _event in result.stream_events():
        pass
    (call,) = _calls(result)
    return [call.name, json.loads(call.arguments)]


@case
async def structured() -> dict[str, Any]:
    result = await Runner.run(_agent(OpenAIChatCompletionsModel, output_type=Answer), PROMPT)
    return dict(result.final_output.model_dump())


@case
async def vision() -> list[Any]:
    content = [{"type": "input_text", "text": PROMPT}, {"type": "input_image", "image_url": IMAGE_URL}]
    given: Any = [{"role": "user", "content": content}]
    result = await Runner.run(_agent(OpenAIChatCompletionsModel), given)
    return [result.final_output, result.context_wrapper.usage.input_tokens]


@case
async def responses() -> list[Any]:
    result = await Runner.run(_agent(OpenAIResponsesModel), PROMPT)
    text, _input, output = await _stream(OpenAIResponsesModel)
    return [result.final_output, text, output]


@case
async def responses_tools() -> list[Any]:
    return await _tools(OpenAIResponsesModel)


@case
def bad_key() -> list[Any]:
    return caught(lambda: Runner.run(_agent(OpenAIResponsesModel, key=BAD_KEY), PROMPT))


@case
def unknown_model() -> list[Any]:
    return caught(lambda: Runner.run(_agent(OpenAIResponsesModel, "no-such-model"), PROMPT))


@case
async def limited() -> list[Any]:
    hasty = _agent(OpenAIResponsesModel, key=LIMITED_KEY)
    made = await asyncio.gather(Runner.run(hasty, PROMPT), Runner.run(hasty, PROMPT))
    return [result.final_output for result in made]


@case
async def failover() -> Any:
    return (await Runner.run(_agent(OpenAIResponsesModel, "failover"), PROMPT)).final_output


run()
