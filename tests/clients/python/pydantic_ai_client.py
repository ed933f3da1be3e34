"""pydantic-ai, with its model class for OpenAI's chat API and the one for responses."""

from __future__ import annotations

import asyncio
from typing import Any

from cases import API_KEY, BAD_KEY, BASE_URL, IMAGE, LIMITED_KEY, PROMPT, case, caught, run, weather
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, Embedder, NativeOutput
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


class Answer(BaseModel):
    city: str
    degrees: int


def _provider(key: str = API_KEY) -> OpenAIProvider:
    return OpenAIProvider(base_url=BASE_URL, api_key=key)


def _agent(model: str = "gpt-4.1", key: str = API_KEY, **options: Any) -> Agent[None, Any]:
    return Agent(OpenAIChatModel(model, provider=_provider(key)), **options)


def _calls(result: Any) -> list[ToolCallPart]:
    parts = [part for message in result.all_messages() for part in message.parts]
    return [part for part in parts if isinstance(part, ToolCallPart)]


@case
async def plain() -> list[Any]:
    result = await _agent().run(PROMPT)
    return [result.output, result.usage.input_tokens, result.usage.output_tokens]


@case
async def stream() -> list[Any]:
    async with _agent().run_stream(PROMPT) as result:
        text = "".join([delta async for delta in result.stream_text(delta=True)])
        return [text, result.usage.input_tokens, result.usage.output_tokens]


@case
async def tools() -> list[Any]:
    result = await _agent(tools=[weather]).run(PROMPT)
    (call,) = _calls(result)
    return [call.tool_name, call.args_as_dict(), result.output]


@case
async def tools_streamed() -> list[Any]:
    async with _agent(tools=[weather]).run_stream(PROMPT) as result:
        await result.get_output()
        (call,) = _calls(result)
        return [call.tool_name, call.args_as_dict()]


@case
async def structured() -> dict[str, Any]:
    result = await _agent(output_type=NativeOutput(Answer)).run(PROMPT)
    return dict(result.output.model_dump())


@case
async def vision() -> list[Any]:
    image = BinaryContent.from_data_uri(f"data:image/png;base64,{IMAGE}")
    result = await _agent().run([PROMPT, image])
    return [result.output, result.usage.input_tokens]


@case
async def embeddings() -> list[int]:
    embedder = Embedder(OpenAIEmbeddingModel("text-embedding-3-small", provider=_provider()))
    made = await embedder.embed_documents(["one", "two"])
    return [len(vector) for vector in made.embeddings]


@case
async def responses() -> list[Any]:
    agent = Agent(OpenAIResponsesModel("gpt-4.1", provider=_provider()))
    whole = await agent.run(PROMPT)
    async with agent.run_stream(PROMPT) as result:
        return [whole.output, await result.get_output(), result.usage.output_tokens]


@case
async def responses_tools() -> list[Any]:
    agent = Agent(OpenAIResponsesModel("gpt-4.1", provider=_provider()), tools=[weather])
    result = await agent.run(PROMPT)
    (call,) = _calls(result)
    return [call.tool_name, call.args_as_dict(), result.output]


@case
def bad_key() -> list[Any]:
    return caught(lambda: _agent(key=BAD_KEY).run(PROMPT))


@case
def unknown_model() -> list[Any]:
    return caught(lambda: _agent("no-such-model").run(PROMPT))


@case
async def limited() -> list[Any]:
    hasty = _agent(key=LIMITED_KEY)
    return [made.output for made in await asyncio.gather(hasty.run(PROMPT), hasty.run(PROMPT))]


@case
async def failover() -> Any:
    return (await _agent("failover").run(PROMPT)).output


run()
