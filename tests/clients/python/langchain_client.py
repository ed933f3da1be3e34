"""LangChain, through langchain-openai."""

from __future__ import annotations

from typing import Any

from cases import (
    API_KEY,
    BAD_KEY,
    BASE_URL,
    IMAGE_URL,
    LIMITED_KEY,
    PROMPT,
    case,
    caught,
    run,
    twice_at_once,
    weather,
)
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

KEY = SecretStr(API_KEY)
model = ChatOpenAI(model="gpt-4.1", base_url=BASE_URL, api_key=KEY)


class Answer(BaseModel):
    """An answer."""

    city: str
    degrees: int


@case
def plain() -> list[Any]:
    message = model.invoke(PROMPT)
    assert message.usage_metadata is not None
    return [message.content, message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]]


@case
def stream() -> list[Any]:
    first, *rest = model.stream(PROMPT, stream_usage=True)
    whole: Any = sum(rest, first)
    return [whole.content, whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]]


@case
def tools() -> list[Any]:
    callable_tool = tool(weather)
    bound = model.bind_tools([callable_tool])
    asked: Any = bound.invoke(PROMPT)
    (call,) = asked.tool_calls
    final = bound.invoke([HumanMessage(PROMPT), asked, callable_tool.invoke(call)])
    return [call["name"], call["args"], final.content]


@case
def tools_streamed() -> list[Any]:
    first, *rest = model.bind_tools([tool(weather)]).stream(PROMPT)
    whole: Any = sum(rest, first)
    (call,) = whole.tool_calls
    return [call["name"], call["args"]]


@case
def structured() -> dict[str, Any]:
    made: Answer = model.with_structured_output(Answer).invoke(PROMPT)
    return made.model_dump()


@case
def vision() -> list[Any]:
    content: list[Any] = [
        {"type": "text", "text": PROMPT},
        {"type": "image_url", "image_url": {"url": IMAGE_URL}},
    ]
    message = model.invoke([HumanMessage(content=content)])
    assert message.usage_metadata is not None
    return [message.content, message.usage_metadata["input_tokens"]]


@case
def embeddings() -> list[int]:
    # Without this check it sends text instead of tokens, which need a table from the internet.
    embedder = OpenAIEmbeddings(
        model="text-embedding-3-small", base_url=BASE_URL, api_key=KEY, check_embedding_ctx_length=False
    )
    return [len(vector) for vector in embedder.embed_documents(["one", "two"])]


@case
def responses() -> list[Any]:
    speaking = ChatOpenAI(model="gpt-4.1", base_url=BASE_URL, api_key=KEY, use_responses_api=True)
    first, *rest = speaking.stream(PROMPT)
    whole: Any = sum(rest, first)
    return [speaking.invoke(PROMPT).text, whole.text, whole.usage_metadata["output_tokens"]]


@case
def responses_tools() -> list[Any]:
    callable_tool = tool(weather)
    speaking = ChatOpenAI(model="gpt-4.1", base_url=BASE_URL, api_key=KEY, use_responses_api=True)
    bound = speaking.bind_tools([callable_tool])
    asked: Any = bound.invoke(PROMPT)
    (call,) = asked.tool_calls
    final = bound.invoke([HumanMessage(PROMPT), asked, callable_tool.invoke(call)])
    return [call["name"], call["args"], final.text]


@case
def bad_key() -> list[Any]:
    stranger = ChatOpenAI(model="gpt-4.1", base_url=BASE_URL, api_key=SecretStr(BAD_KEY))
    return caught(lambda: stranger.invoke(PROMPT))


@case
def unknown_model() -> list[Any]:
    unknown = ChatOpenAI(model="no-such-model", base_url=BASE_URL, api_key=KEY)
    return caught(lambda: unknown.invoke(PROMPT))


@case
def limited() -> list[Any]:
    hasty = ChatOpenAI(model="gpt-4.1", base_url=BASE_URL, api_key=SecretStr(LIMITED_KEY))
    return [message.content for message in twice_at_once(lambda: hasty.invoke(PROMPT))]


@case
def failover() -> Any:
    return ChatOpenAI(model="failover", base_url=BASE_URL, api_key=KEY).invoke(PROMPT).content


run()
