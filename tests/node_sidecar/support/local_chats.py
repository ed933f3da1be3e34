"""Chat completions in the formats that vLLM and Ollama publish, for the stand-ins in local_servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

CONTENT = ("Hello", " from", " here.")
PROMPT_TOKENS = 7
Body = Mapping[str, Any]


def vllm_chat(body: Body) -> Any:
    """Answers like vLLM 0.10: protocol.py's ChatCompletionResponse and ChatCompletionStreamResponse."""
    return _chat(
        body,
        {"id": "chatcmpl-3f0c", "created": 1, "model": body["model"]},
        usage={"prompt_tokens_details": None},
        choice={"logprobs": None, "stop_reason": None},
        whole={
            "service_tier": None,
            "system_fingerprint": None,
            "prompt_logprobs": None,
            "kv_transfer_params": None,
        },
        message={"refusal": None, "annotations": None, "audio": None, "function_call": None, "tool_calls": []},
    )


def ollama_chat(body: Body) -> Any:
    """Answers like Ollama 0.12: openai.go's ChatCompletion and ChatCompletionChunk."""
    base = {"id": "chatcmpl-271", "created": 1, "model": body["model"], "system_fingerprint": "fp_ollama"}
    return _chat(body, base, usage={}, choice={}, whole={}, message={})


def _chat(
    body: Body, base: Body, *, usage: Body, choice: Body, whole: Body, message: Body
) -> dict[str, Any] | tuple[int, str, bytes]:
    tokens = {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": len(CONTENT),
        "total_tokens": PROMPT_TOKENS + len(CONTENT),
        **usage,
    }
    if not body.get("stream"):
        said = {"role": "assistant", "content": "".join(CONTENT), **message}
        choices = [{"index": 0, "message": said, "finish_reason": "stop", **choice}]
        return {"object": "chat.completion", **base, "choices": choices, "usage": tokens, **whole}

    def event(*choices: Body, **more: Any) -> str:
        chunk = {"object": "chat.completion.chunk", **base, "choices": list(choices), **more}
        return f"data: {json.dumps(chunk)}\n\n"

    events = [event({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None})]
    events += [event({"index": 0, "delta": {"content": each}, "finish_reason": None}) for each in CONTENT]
    events.append(event({"index": 0, "delta": {"content": ""}, "finish_reason": "stop", **choice}))
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append(event(usage=tokens))
    return 200, "text/event-stream", ("".join(events) + "data: [DONE]\n\n").encode()


CHATS: Mapping[str, Callable[[Body], Any]] = {"vllm": vllm_chat, "ollama": ollama_chat}
