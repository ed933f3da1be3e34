"""Converts chat completions between streams and plain answers. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

_END = b"data: [DONE]\n\n"
#: Members of a delta whose parts are concatenated. Other strings must stay the same: nobody knows how the parts of
#: an unknown one, or of base64, belong together.
_TEXTS = frozenset({"content", "refusal", "reasoning", "reasoning_content", "arguments", "text"})
#: Reasons for which a complete answer ends, in lower case: those of OpenAI, Anthropic, Bedrock, Cohere, Gemini,
#: Mistral and local servers. With any other (DeepSeek: `insufficient_system_resource`), it may have broken off.
_COMPLETE = frozenset(
    {
        *("stop", "length", "tool_calls", "function_call", "content_filter"),
        *("end_turn", "stop_sequence", "max_tokens", "tool_use", "tool_call", "refusal", "guardrail_intervened"),
        *("complete", "model_length", "safety", "recitation", "eos", "eos_token", "stop_token"),
    }
)
#: Those for which an answer ends within a tool call.
_CUT = frozenset({"length", "max_tokens", "model_length"})
#: Members of a stream's chunks that are one value for the whole answer, the first one.
_OF_THE_WHOLE = frozenset({"id", "object", "created", "model", "system_fingerprint", "service_tier"})
#: Members of a stream's chunks that a plain answer does not have, or has from elsewhere.
_OF_CHUNKS = frozenset({"choices", "usage", "obfuscation", "x_groq"})


class Choices:
    """Tracks the choices of a stream: which exist, and which are finished."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self._calls: set[int] = set()

    def add(self, chunk: Mapping[str, Any]) -> bool:
        """Takes a chunk. Returns whether it may belong to a complete answer."""
        choices = chunk.get("choices")
        if choices is None:
            return True
        if type(choices) is not list:
            return False
        for choice in choices:
            if type(choice) is not dict or type(choice.get("index", 0)) is not int:
                return False
            index, delta = choice.get("index", 0), choice.get("delta")
            self._open.add(index)
            if delta is not None and type(delta) is not dict:
                return False
            if delta and (delta.get("tool_calls") or delta.get("function_call")):
                self._calls.add(index)
            reason = choice.get("finish_reason")
            if reason is not None:
                if not _is_complete(choice, calls=index in self._calls):
                    return False
                self._finished.add(index)
        return True

    @property
    def finished(self) -> bool:
        """True if there is a choice and all choices are finished."""
        return bool(self._open) and self._open == self._finished


def is_finished(choice: Any) -> bool:
    """Returns whether a choice of a plain answer is complete; a choice cut within a tool call is not."""
    if type(choice) is not dict:
        return False
    message = choice.get("message")
    calls = type(message) is dict and (message.get("tool_calls") or message.get("function_call"))
    return _is_complete(choice, calls=bool(calls))


def _is_complete(choice: Mapping[str, Any], *, calls: bool) -> bool:
    """Returns whether a choice ends without an error for a reason of a complete one. `calls` says that it calls
    tools.
    """
    reason = choice.get("finish_reason")
    if type(reason) is not str or reason.lower() not in _COMPLETE or choice.get("error") is not None:
        return False
    return not (calls and reason.lower() in _CUT)


def is_usage(chunk: Mapping[str, Any]) -> bool:
    """Returns whether a chunk reports usage and nothing else."""
    return type(chunk.get("usage")) is dict and not chunk.get("choices")


def usage_event(chunk: Mapping[str, Any], report: Any) -> bytes:
    """Returns the event that reports usage in the stream of `chunk`; empty without a report."""
    if type(report) is not dict:
        return b""
    head = {
        name: chunk[name] for name in ("id", "object", "created", "model", "system_fingerprint") if name in chunk
    }
    return _event({**head, "choices": [], "usage": report})


def with_usage(stream: bytes, usage: bytes) -> bytes:
    """Returns the stream with the event inserted before its end."""
    return stream[: -len(_END)] + usage + _END if stream.endswith(_END) else stream


def stream_of(plain: bytes) -> tuple[bytes, bytes]:
    """Returns the stream with the content of a plain answer, and the event that reports its usage."""
    answer = orjson.loads(plain)
    head = {name: value for name, value in answer.items() if name not in {"choices", "usage", "object"}}
    head["object"] = "chat.completion.chunk"
    chunks: list[bytes] = []
    for at, choice in enumerate(answer["choices"]):
        message = dict(choice.get("message") or {})
        if message.get("tool_calls"):
            message["tool_calls"] = [
                {"index": number, **call} for number, call in enumerate(message["tool_calls"])
            ]
        delta = {name: value for name, value in message.items() if value is not None or name == "content"}
        rest = {name: value for name, value in choice.items() if name not in {"message", "finish_reason", "index"}}
        index = choice.get("index", at)
        chunks.append(
            _event({**head, "choices": [{"index": index, "delta": delta, **rest, "finish_reason": None}]})
        )
        last = {"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}
        chunks.append(_event({**head, "choices": [last]}))
    return b"".join([*chunks, _END]), usage_event(head, answer.get("usage"))


def plain_of(stream: bytes, usage: bytes) -> bytes | None:
    """Returns the plain answer with the content of a stream; None if something in it cannot be joined."""
    head: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for line in stream.splitlines():
        data = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or data == b"[DONE]":
            continue
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            return None
        for choice in chunk.get("choices") or ():
            index = choice.get("index", 0)
            into = choices.setdefault(index, {"index": index, "message": {}, "finish_reason": None})
            if not _join(into["message"], choice.get("delta") or {}) or not _join_rest(into, choice):
                return None
        for name, value in chunk.items():
            if name in _OF_CHUNKS:
                continue
            if head.get(name) is None:
                head[name] = value
            elif value is not None and value != head[name] and name not in _OF_THE_WHOLE:
                return None  # such as a list of sources that grows: nobody knows which one is the whole
    if not all(_complete(choice["message"]) for choice in choices.values()):
        return None
    answer = {**head, "object": "chat.completion", "choices": [choices[index] for index in sorted(choices)]}
    if usage:
        answer["usage"] = orjson.loads(usage.removeprefix(b"data:"))["usage"]
    return orjson.dumps(answer)


def _join(into: dict[str, Any], delta: Mapping[str, Any]) -> bool:
    """Adds a delta to the earlier ones."""
    for name, value in delta.items():
        there = into.get(name)
        if value is None or there is None:
            if there is None:
                into[name] = _first(value)
        elif type(value) is str and type(there) is str:
            if name in _TEXTS:
                into[name] = there + value
            elif not there:
                into[name] = value
            elif value not in {"", there}:
                return False
        elif type(value) is dict and type(there) is dict:
            if not _join(there, value):
                return False
        elif type(value) is list and type(there) is list:
            if not _join_parts(there, value):
                return False
        elif value != there:
            return False
    return True


def _first(value: Any) -> Any:
    """Returns a copy to which deltas can be added."""
    if type(value) is dict:
        return {name: _first(each) for name, each in value.items()}
    return [_first(each) for each in value] if type(value) is list else value


def _join_parts(into: list[Any], parts: list[Any]) -> bool:
    """Adds each part to the one with the same index, or appends it."""
    for part in parts:
        index = part.get("index") if type(part) is dict else None
        same = next((each for each in into if index is not None and each.get("index") == index), None)
        if same is None:
            into.append(_first(part))
        elif not _join(same, part):
            return False
    return True


def _join_rest(into: dict[str, Any], choice: Mapping[str, Any]) -> bool:
    rest = {name: value for name, value in choice.items() if name not in {"index", "delta"} and value is not None}
    return _join(into, rest)


def _complete(message: dict[str, Any]) -> bool:
    """Adds the members that every message has, and removes those that only streams have.

    Returns whether every call of a function names it: without an index, the parts of a call cannot be joined.
    """
    message.setdefault("role", "assistant")
    message.setdefault("content", None)
    if not message["content"] and message.get("tool_calls"):
        message["content"] = None
    for call in message.get("tool_calls") or ():
        call.pop("index", None)
        if type(function := call.get("function")) is dict and not function.get("name"):
            return False
    return True


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
