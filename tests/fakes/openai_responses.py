"""`POST /v1/responses` of a fake provider: text, JSON of a schema, or a function call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tests.fakes.behaviour import Behaviour
from tests.fakes.json_schema import example
from tests.fakes.openai_parts import (
    CREATED,
    Answer,
    EventStream,
    Json,
    content_tokens,
    cut,
    event,
    json_answer,
    pieces_of,
    reported_usage,
)


def responses(body: Json, name: str, behaviour: Behaviour) -> Answer | EventStream:
    """Returns the answer: a call of the first function, unless the input's last item is a function's result."""
    given = body.get("input", "")
    items = [{"content": given}] if isinstance(given, str) else given
    prompt = sum(content_tokens(item.get("content")) for item in items)
    function = _called_function(body, items)
    wanted = (body.get("text") or {}).get("format") or {}
    if function is not None:
        pieces = _eighths(example(function.get("parameters") or {"type": "object"}))
    elif wanted.get("type") == "json_schema":
        pieces = _eighths(example(wanted.get("schema", {})))
    else:
        pieces, _finish = cut(pieces_of(name, behaviour), body)
    item = _message(name, pieces) if function is None else _call(name, function, pieces)
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": len(pieces),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + len(pieces),
    }
    whole: Json = {
        "id": f"resp_{name}",
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "model": body["model"],
        "output": [item],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        **reported_usage(usage, body["model"]),
    }
    if not body.get("stream"):
        return json_answer(whole)
    inner = _message_events(item, pieces) if function is None else _call_events(item, pieces)
    return EventStream(_events(whole, item, inner))


def _called_function(body: Json, items: list[Json]) -> Json | None:
    functions: list[Json] = [tool for tool in body.get("tools") or [] if tool.get("type") == "function"]
    choice = body.get("tool_choice", "auto")
    if not functions or choice == "none" or items[-1].get("type") == "function_call_output":
        return None
    wanted = choice.get("name") if isinstance(choice, dict) else None
    return next((function for function in functions if function["name"] == wanted), functions[0])


def _eighths(value: object) -> list[str]:
    return re.findall(r".{1,8}", json.dumps(value))


def _message(name: str, pieces: list[str]) -> Json:
    part = {"type": "output_text", "text": "".join(pieces), "annotations": [], "logprobs": []}
    return {"id": f"msg_{name}", "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def _call(name: str, function: Json, pieces: list[str]) -> Json:
    return {
        "id": f"fc_{name}",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_fake0001",
        "name": function["name"],
        "arguments": "".join(pieces),
    }


def _events(whole: Json, item: Json, inner: list[tuple[str, Json]]) -> Iterator[bytes]:
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    empty: Json = {"content": []} if item["type"] == "message" else {"arguments": ""}
    opened = {**item, "status": "in_progress"} | empty
    sequence: list[tuple[str, Json]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": opened}),
        *((kind, {"item_id": item["id"], "output_index": 0, **fields}) for kind, fields in inner),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": whole}),
    ]
    for number, (kind, fields) in enumerate(sequence):
        yield event({"type": kind, "sequence_number": number, **fields}, kind)


def _message_events(item: Json, pieces: list[str]) -> list[tuple[str, Json]]:
    (part,) = item["content"]
    place = {"content_index": 0}
    return [
        ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        *(("response.output_text.delta", {**place, "delta": piece, "logprobs": []}) for piece in pieces),
        ("response.output_text.done", {**place, "text": part["text"], "logprobs": []}),
        ("response.content_part.done", {**place, "part": part}),
    ]


def _call_events(item: Json, pieces: list[str]) -> list[tuple[str, Json]]:
    return [
        *(("response.function_call_arguments.delta", {"delta": piece}) for piece in pieces),
        ("response.function_call_arguments.done", {"arguments": item["arguments"], "name": item["name"]}),
    ]
