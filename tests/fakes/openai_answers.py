"""The answers of an OpenAI-compatible provider, without I/O: from a request and a pace to an answer.

Everything is deterministic. A prompt counts one token per word and 85 per image, an answer one per piece of
content (a streamed event has one piece), so usage can be checked to the token. A model with `silent` in its name
reports no usage, one with `partly` only a part of it, and one with `lying` billions of everything.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
import struct
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tests.fakes.behaviour import Behaviour
from tests.fakes.http11 import Request
from tests.fakes.json_schema import example
from tests.fakes.openai_moderations import moderations
from tests.fakes.openai_parts import (
    CREATED,
    Answer,
    EventStream,
    Json,
    RefusedError,
    content_tokens,
    cut,
    error,
    event,
    json_answer,
    pieces_of,
    reported_usage,
)
from tests.fakes.openai_responses import responses

MODELS = ("gpt-4.1", "gpt-4.1-mini", "text-embedding-3-small")
#: Its base64 would be half a million tokens of text.
IMAGE_BYTES = 1_500_000
ONE_PIXEL_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
ONE_IMAGE = {"b64_json": ONE_PIXEL_PNG}
SPEECH = b"ID3\x04" + bytes(range(256)) * 8


def answer(
    request: Request, name: str, behaviour: Behaviour, models: Sequence[str] = MODELS
) -> Answer | EventStream:
    """Returns the answer of the provider called `name`, which lists `models`. Never raises: refusals are
    answers.
    """
    try:
        if request.path == "/v1/models" and request.method == "GET":
            return json_answer({"object": "list", "data": [_model(model, name) for model in models]})
        if request.path.startswith("/v1/models/") and request.method == "GET":
            return json_answer(_model(request.path.removeprefix("/v1/models/"), name))
        if request.path == "/v1/audio/transcriptions" and request.method == "POST":
            return _transcription(request)
        if request.path == "/v1/images/edits" and request.method == "POST":
            return _edited_image(request, name, behaviour)
        endpoint = ENDPOINTS.get(request.path)
        if endpoint is None:
            raise RefusedError(404, f"Invalid URL ({request.method} {request.path})")  # noqa: TRY301
        if request.method != "POST":
            raise RefusedError(405, f"Not allowed to {request.method} on {request.path}.")  # noqa: TRY301
        body = _parse(request.body)
        return endpoint(body, name, behaviour.paced_by(body.get("model")))
    except RefusedError as refused:
        return error(refused.status, str(refused), refused.code, refused.param)


def _parse(data: bytes) -> Json:
    try:
        body = json.loads(data)
    except ValueError as invalid:
        raise RefusedError(400, "We could not parse the JSON body of your request.") from invalid
    if not isinstance(body, dict):
        raise RefusedError(400, "The JSON body of your request is not an object.")
    if not isinstance(body.get("model"), str):
        raise RefusedError(400, "you must provide a model parameter", param="model")
    return body


def _model(model: str, name: str) -> Json:
    return {"id": model, "object": "model", "created": CREATED, "owned_by": name}


def _usage(prompt: int, completion: int) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _called_function(body: Json) -> Json | None:
    """Returns the function that a tool call goes to: the forced one or the first, unless a tool has just
    answered.
    """
    choice = body.get("tool_choice", "auto")
    functions: list[Json] = [
        tool["function"] for tool in body.get("tools") or [] if tool.get("type") == "function"
    ]
    if not functions or choice == "none" or body["messages"][-1].get("role") == "tool":
        return None
    if isinstance(choice, dict):
        wanted = choice["function"]["name"]
        return next((function for function in functions if function["name"] == wanted), functions[0])
    return functions[0]


def _chat(body: Json, name: str, behaviour: Behaviour) -> Answer | EventStream:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedError(
            400, "Missing required parameter: 'messages'.", "missing_required_parameter", "messages"
        )
    prompt = sum(content_tokens(message.get("content")) for message in messages)
    function = _called_function(body)
    response_format = body.get("response_format") or {}
    call: Json | None = None
    if function is not None:
        arguments = json.dumps(example(function.get("parameters") or {"type": "object"}))
        pieces, finish = re.findall(r".{1,8}", arguments), "tool_calls"
        call = {"id": "call_fake0001", "type": "function", "function": {"name": function["name"], "arguments": ""}}
    elif response_format.get("type") == "json_schema":
        text = json.dumps(example(response_format["json_schema"].get("schema", {})))
        pieces, finish = re.findall(r".{1,8}", text), "stop"
    elif response_format.get("type") == "json_object":
        pieces, finish = ['{"provider": ', json.dumps(name), "}"], "stop"
    else:
        pieces, finish = cut(pieces_of(name, behaviour), body)
    usage = _usage(prompt, len(pieces))
    base = {
        "id": f"chatcmpl-{name}",
        "object": "chat.completion",
        "created": CREATED,
        "model": body["model"],
        "service_tier": "default",
        "system_fingerprint": f"fp_{name}",
    }
    if body.get("stream"):
        include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        reported = reported_usage(usage, body["model"]).get("usage")
        events = _chat_events(base, call, pieces, finish, reported if include_usage else None)
        return EventStream(events, prompt, len(pieces))
    message: Json = {"role": "assistant", "content": "".join(pieces), "refusal": None, "annotations": []}
    if call is not None:
        call["function"]["arguments"] = "".join(pieces)
        message |= {"content": None, "tool_calls": [call]}
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
        for index in range(body.get("n") or 1)
    ]
    whole = json_answer({**base, "choices": choices, **reported_usage(usage, body["model"])})
    return replace(whole, prompt_tokens=prompt, completion_tokens=len(pieces))


def _chat_events(
    base: Json, call: Json | None, pieces: list[str], finish: str, usage: Json | None
) -> Iterator[bytes]:
    def chunk(delta: Json, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        whole = {**base, "object": "chat.completion.chunk", "choices": [choice]}
        return event(whole if usage is None else {**whole, "usage": None})

    if call is None:
        yield chunk({"role": "assistant", "content": "", "refusal": None})
    else:
        yield chunk({"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call}]})
    for piece in pieces:
        yield chunk(
            {"content": piece}
            if call is None
            else {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        )
    yield chunk({}, finish)
    if usage is not None:
        yield event({**base, "object": "chat.completion.chunk", "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _completion(body: Json, name: str, behaviour: Behaviour) -> Answer | EventStream:
    prompts = body.get("prompt", "")
    prompt = sum(content_tokens(text) for text in (prompts if isinstance(prompts, list) else [prompts]))
    pieces, finish = cut(pieces_of(name, behaviour), body)
    usage = _usage(prompt, len(pieces))
    base = {"id": f"cmpl-{name}", "object": "text_completion", "created": CREATED, "model": body["model"]}

    def choice(text: str, reason: str | None) -> Json:
        return {**base, "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": reason}]}

    def events() -> Iterator[bytes]:
        for piece in pieces:
            yield event(choice(piece, None))
        yield event(choice("", finish))
        if (body.get("stream_options") or {}).get("include_usage") and reported_usage(usage, body["model"]):
            yield event({**base, "choices": [], **reported_usage(usage, body["model"])})
        yield b"data: [DONE]\n\n"

    if body.get("stream"):
        return EventStream(events())
    return json_answer({**choice("".join(pieces), finish), **reported_usage(usage, body["model"])})


def _embeddings(body: Json, _name: str, _behaviour: Behaviour) -> Answer:
    given = body.get("input")
    if given is None or given in ("", []):
        raise RefusedError(400, "'$.input' is invalid.", param="input")
    inputs = [given] if isinstance(given, str) or isinstance(given[0], int) else given
    size = body.get("dimensions") or 8
    data: list[Json] = []
    tokens = 0
    for index, item in enumerate(inputs):
        tokens += len(item.split()) if isinstance(item, str) else len(item)
        digest = hashlib.sha256(json.dumps(item).encode()).digest()
        vector = [(digest[place % 32] - 128) / 128 for place in range(size)]
        packed = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        embedding = packed if body.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_answer(
        {"object": "list", "data": data, "model": body["model"], **reported_usage(usage, body["model"])}
    )


def _image(body: Json, _name: str, _behaviour: Behaviour) -> Answer:
    prompt = content_tokens(body.get("prompt", ""))
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"text_tokens": prompt, "image_tokens": 0},
        "output_tokens": 100,
        "total_tokens": prompt + 100,
    }
    image = {"b64_json": base64.b64encode(bytes(IMAGE_BYTES)).decode()} if "large" in body["model"] else ONE_IMAGE
    made: Json = {"created": CREATED, "data": [image] * (body.get("n") or 1)}
    made |= {name: body[name] for name in ("size", "quality") if name in body}
    return json_answer({**made, **reported_usage(usage, body["model"])})


def _rerank(body: Json, _name: str, _behaviour: Behaviour) -> Answer:
    results = [{"index": index, "relevance_score": 0.5} for index, _ in enumerate(body["documents"])]
    meta = reported_usage({"search_units": 1 + len(results) // 100}, body["model"])
    return json_answer({"id": "1", "results": results, "meta": {"billed_units": meta.get("usage")}})


def _speech(_body: Json, _name: str, _behaviour: Behaviour) -> Answer:
    return Answer(200, SPEECH, "audio/mpeg")


def _edited_image(request: Request, name: str, behaviour: Behaviour) -> Answer:
    fields = _form(request, needed=("image", "prompt", "model"))
    return _image({each: fields[each].decode() for each in ("model", "prompt")}, name, behaviour)


def _form(request: Request, *, needed: Sequence[str]) -> dict[str, bytes]:
    boundary = re.search(r'boundary="?([^";]+)"?', request.header("content-type"))
    if boundary is None:
        raise RefusedError(400, "Expected multipart/form-data.")
    fields: dict[str, bytes] = {}
    for part in request.body.split(b"--" + boundary[1].encode())[1:-1]:
        part_head, _, content = part.partition(b"\r\n\r\n")
        if (found := re.search(rb'name="([^"]+)"', part_head)) is not None:
            fields[found[1].decode()] = content.removesuffix(b"\r\n")
    for each in needed:
        if not fields.get(each):
            raise RefusedError(400, f"Missing required parameter: '{each}'.", param=each)
    return fields


def _transcription(request: Request) -> Answer:
    fields = _form(request, needed=("file", "model"))
    text, seconds = f"Heard {len(fields['file'])} bytes.", _seconds(fields["file"])
    usage = reported_usage({"type": "duration", "seconds": math.ceil(seconds)}, fields["model"].decode())
    match fields.get("response_format"):
        case b"text":
            return Answer(200, text.encode() + b"\n", "text/plain; charset=utf-8")
        case b"srt":
            cue = f"1\n00:00:00,000 --> 00:00:{seconds:06.3f}\n{text}\n\n"
            return Answer(200, cue.replace(".", ",", 1).encode(), "text/plain; charset=utf-8")
        case b"verbose_json":
            duration = {} if "silent" in fields["model"].decode() else {"duration": seconds}
            return json_answer({"task": "transcribe", **duration, "text": text, "segments": [], **usage})
    return json_answer({"text": text, **usage})


def _seconds(sound: bytes) -> float:
    """Returns the seconds of a WAV file; 1 for anything else."""
    try:
        with wave.open(io.BytesIO(sound)) as file:
            return float(file.getnframes() / file.getframerate())
    except (wave.Error, EOFError):
        return 1.0


ENDPOINTS: dict[str, Callable[[Json, str, Behaviour], Answer | EventStream]] = {
    "/v1/chat/completions": _chat,
    "/v1/completions": _completion,
    "/v1/embeddings": _embeddings,
    "/v1/responses": responses,
    "/v1/images/generations": _image,
    "/v1/moderations": moderations,
    "/v1/audio/speech": _speech,
    "/v1/rerank": _rerank,
}
