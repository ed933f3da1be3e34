"""How well-known providers report usage, as they publish it: whole answers and streams, with what each amounts to.

A stream is a list of events; `hidden` are those that a client does not get that did not ask for usage.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """`used` are the fields of `Tokens` that are not 0."""

    name: str
    body: Json | list[Json | str]
    used: Json
    hidden: tuple[int, ...] = ()
    #: Text, for which tokens are reserved.
    generates: bool = True
    #: What was asked for beside text, as in `translator.bodies.requested_units`.
    units: str = ""

    @property
    def streamed(self) -> bool:
        return isinstance(self.body, list)

    def events(self, *, line_end: str = "\n", prefix: str = "data: ", hidden: bool = True) -> list[bytes]:
        """Each event with its empty line; without those that are hidden, if not `hidden`."""
        shown = []
        for index, event in enumerate(self.body):
            if not hidden and index in self.hidden:
                continue
            text = event if isinstance(event, str) else prefix + json.dumps(event, separators=(",", ":"))
            shown.append((text.replace("\n", line_end) + 2 * line_end).encode())
        return shown


def _chunk(*choices: Json, **more: Any) -> Json:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m"}
    return {**base, "choices": list(choices), **more}


def _said(text: str, **more: Any) -> Json:
    return {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None, **more}


def _end(**more: Any) -> Json:
    return {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop", **more}


def _chat(usage: Json | None, **more: Any) -> Json:
    message = {"role": "assistant", "content": "Hello there, friend.", "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [choice],
        "usage": usage,
        **more,
    }


def _counts(prompt: int, completion: int, **more: Any) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **more,
    }


def _used(prompt: int, completion: int, **more: Any) -> Json:
    return {"prompt": prompt, "completion": completion, **more}


def _typed(kind: str, **more: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}"


_DONE = "data: [DONE]"
_PLAIN = _counts(19, 10)
_RESPONSES = {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 123,
}
#: Of an answer that repeats its client's tools, metadata and text.
_ECHO = {
    "tools": [{"type": "function", "name": "f", "parameters": {"properties": {"usage": {"total_tokens": 0}}}}],
    "metadata": {"usage": '{"input_tokens": 0, "output_tokens": 0}'},
    "text": {"format": {"type": "json_schema", "schema": {"usage": {"input_tokens": 0, "output_tokens": 0}}}},
}

SHAPES = [
    Shape(
        "openai chat",
        _chat(
            _counts(
                19,
                10,
                prompt_tokens_details={"cached_tokens": 8, "audio_tokens": 3},
                completion_tokens_details={
                    "reasoning_tokens": 4,
                    "audio_tokens": 2,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            ),
            service_tier="flex",
        ),
        _used(19, 10, cached=8, reasoning=4, audio_input=3, audio_output=2, tier="flex"),
    ),
    Shape(
        "openai chat stream",
        [
            _chunk(_said(""), usage=None, service_tier="default", obfuscation="aB3"),
            _chunk(_said("Hi"), usage=None),
            _chunk(_end(), usage=None),
            _chunk(usage=_PLAIN, service_tier="default", obfuscation=""),
            _DONE,
        ],
        _used(19, 10, tier="default"),
        hidden=(3,),
    ),
    Shape(
        "openai completions stream",
        [
            {"object": "text_completion", "choices": [{"text": "a", "index": 0}], "usage": None},
            {"object": "text_completion", "choices": [], "usage": _counts(5, 1)},
            _DONE,
        ],
        _used(5, 1),
        hidden=(1,),
    ),
    Shape(
        "openai responses",
        {"object": "response", "usage": _RESPONSES, **_ECHO},
        _used(36, 87, cached=4, reasoning=64),
    ),
    Shape(
        "openai responses stream",
        [
            _typed("response.created", response={"usage": None, "service_tier": "auto"}),
            _typed("response.output_text.delta", delta="Hi"),
            _typed("response.completed", response={**_ECHO, "service_tier": "priority", "usage": _RESPONSES}),
        ],
        _used(36, 87, cached=4, reasoning=64, tier="priority"),
    ),
    Shape(
        "openai embeddings",
        {"object": "list", "data": [{"embedding": "AAAA"}], "usage": {"prompt_tokens": 8, "total_tokens": 8}},
        _used(8, 0),
    ),
    Shape(
        "openai images",
        {
            "created": 1,
            "data": [{"b64_json": "AAAA"}],
            "quality": "high",
            "size": "1024x1024",
            "usage": {
                "total_tokens": 100,
                "input_tokens": 50,
                "output_tokens": 50,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
            },
        },
        _used(50, 50, images=1, image_size="1024x1024", image_quality="high"),
        units="i1:auto:auto",
    ),
    Shape(
        "openai images stream",
        [
            {"type": "image_generation.partial_image", "b64_json": "AAAA", "partial_image_index": 0},
            {
                "type": "image_generation.completed",
                "b64_json": "AAAA",
                "usage": {"total_tokens": 100, "input_tokens": 50, "output_tokens": 50},
            },
        ],
        _used(50, 50, images=1, image_quality="low"),
        units="i1::low",
    ),
    Shape(
        "openai transcription by tokens",
        {
            "text": "Imagine",
            "usage": {
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
                "output_tokens": 45,
                "total_tokens": 59,
            },
        },
        _used(14, 45, audio_input=14, audio_in_ms=2_000),
        units="t1400",
    ),
    Shape(
        "openai transcription by duration",
        {"text": "Imagine", "usage": {"type": "duration", "seconds": 9}},
        _used(0, 0, audio_in_ms=9_000),
        units="t8500",
    ),
    Shape(
        "openai transcription stream",
        [
            {"type": "transcript.text.delta", "delta": "I"},
            {
                "type": "transcript.text.done",
                "text": "I",
                "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 31, "total_tokens": 45},
            },
        ],
        _used(14, 31),
    ),
    Shape(
        "openai speech as events",
        [
            {"type": "speech.audio.delta", "audio": "AAAA"},
            {
                "type": "speech.audio.done",
                "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115},
            },
        ],
        _used(14, 101),
    ),
    Shape(
        "azure stream",
        [
            {
                "choices": [],
                "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
                "usage": None,
            },
            _chunk(_said("Hi", content_filter_results={}), usage=None),
            _chunk(_end(), usage=None),
            {"id": "", "object": "", "created": 0, "model": "", "choices": [], "usage": _PLAIN},
            _DONE,
        ],
        _used(19, 10),
        hidden=(3,),
    ),
    Shape(
        "groq chat",
        _chat(
            {**_PLAIN, "queue_time": 0.037, "prompt_time": 0.0006, "completion_time": 0.46, "total_time": 0.461},
            x_groq={"id": "req_1"},
            usage_breakdown=None,
            service_tier="on_demand",
        ),
        _used(19, 10, tier="on_demand"),
    ),
    Shape(
        "groq stream",
        [
            _chunk(_said(""), x_groq={"id": "req_1"}),
            _chunk(_said("Hi")),
            _chunk(_end(), x_groq={"id": "req_1", "usage": {"queue_time": 0.07, **_PLAIN, "total_time": 0.0279}}),
            _DONE,
        ],
        _used(19, 10),
    ),
    Shape(
        "groq stream with include_usage",
        [
            _chunk(_said(""), x_groq={"id": "req_1"}),
            _chunk(_end(), x_groq={"id": "req_1", "usage": _PLAIN}),
            _chunk(usage=_PLAIN, x_groq={"id": "req_1", "usage": _PLAIN}),
            _DONE,
        ],
        _used(19, 10),
        hidden=(2,),
    ),
    Shape(
        "deepseek",
        _chat(
            _counts(
                500,
                38,
                prompt_tokens_details={"cached_tokens": 320},
                completion_tokens_details={"reasoning_tokens": 30},
                prompt_cache_hit_tokens=320,
                prompt_cache_miss_tokens=180,
            )
        ),
        _used(500, 38, cached=320, reasoning=30),
    ),
    Shape(
        "deepseek, older",
        _chat(_counts(500, 38, prompt_cache_hit_tokens=320, prompt_cache_miss_tokens=180)),
        _used(500, 38, cached=320),
    ),
    Shape(
        "deepseek stream",
        [
            _chunk(_said("Hi")),
            _chunk(_end(), usage=_counts(500, 38, prompt_cache_hit_tokens=320, prompt_cache_miss_tokens=180)),
            _DONE,
        ],
        _used(500, 38, cached=320),
    ),
    Shape("moonshot", _chat(_counts(1336, 31, cached_tokens=1280)), _used(1336, 31, cached=1280)),
    Shape(
        "moonshot stream",
        [
            _chunk(_said("Hi")),
            _chunk(_end(usage=_counts(1336, 31, cached_tokens=1280))),
            _DONE,
        ],
        _used(1336, 31, cached=1280),
    ),
    Shape(
        "moonshot stream of two choices",
        [
            _chunk(_said("Hi")),
            _chunk(_end(index=1, usage=_counts(19, 13))),
            _chunk(_end(usage=_counts(19, 21))),
            _DONE,
        ],
        _used(19, 34),
    ),
    Shape(
        "anthropic names",
        _chat(
            {
                "input_tokens": 21,
                "cache_creation_input_tokens": 188_086,
                "cache_read_input_tokens": 100,
                "cache_creation": {"ephemeral_5m_input_tokens": 188_000, "ephemeral_1h_input_tokens": 86},
                "output_tokens": 393,
                "service_tier": "standard",
            }
        ),
        _used(188_207, 393, cached=100, cache_write=188_000, cache_write_1h=86),
    ),
    Shape(
        "anthropic names, counted in",
        _chat(_counts(1000, 50, cache_creation_input_tokens=300, cache_read_input_tokens=600)),
        _used(1000, 50, cached=600, cache_write=300),
    ),
    Shape(
        "anthropic stream",
        [
            _typed(
                "message_start",
                message={
                    "id": "msg_1",
                    "content": [],
                    "usage": {"input_tokens": 25, "cache_read_input_tokens": 75, "output_tokens": 1},
                },
            ),
            _typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"}),
            _typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 15}),
            _typed("message_stop"),
        ],
        _used(100, 15, cached=75),
    ),
    Shape(
        "gemini names",
        _chat(
            None,
            usageMetadata={
                "promptTokenCount": 100,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 30,
                "cachedContentTokenCount": 60,
                "totalTokenCount": 150,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 90},
                    {"modality": "AUDIO", "tokenCount": 10},
                ],
            },
        ),
        _used(100, 50, cached=60, reasoning=30, audio_input=10),
    ),
    Shape(
        "gemini names in every event",
        [
            {"choices": [_said("a")], "usage_metadata": {"prompt_token_count": 9, "total_token_count": 9}},
            {
                "choices": [_end()],
                "usage_metadata": {"prompt_token_count": 9, "candidates_token_count": 4, "total_token_count": 13},
            },
            _DONE,
        ],
        _used(9, 4),
    ),
    Shape(
        "gemini as openai, thoughts in the total only",
        _chat({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 113}),
        _used(9, 104, reasoning=100),
    ),
    Shape(
        "mistral",
        _chat(_counts(13, 7, prompt_audio_seconds=4, num_cached_tokens=5)),
        _used(13, 7, cached=5),
    ),
    Shape(
        "mistral stream",
        [_chunk(_said("Hi")), _chunk(_end(), usage=_counts(13, 7)), _DONE],
        _used(13, 7),
    ),
    Shape(
        "xai",
        _chat(
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "prompt_tokens_details": {
                    "text_tokens": 32,
                    "audio_tokens": 0,
                    "image_tokens": 0,
                    "cached_tokens": 6,
                },
                "completion_tokens_details": {
                    "reasoning_tokens": 94,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
                "num_sources_used": 0,
            }
        ),
        _used(32, 103, cached=6, reasoning=94),
    ),
    Shape(
        "xai stream, usage before an event without choices",
        [_chunk(_said("Hi")), _chunk(_end(), usage=_PLAIN), _chunk(), _DONE],
        _used(19, 10),
    ),
    Shape(
        "together stream",
        [_chunk(_said("Hi"), usage=None), _chunk(_end(seed=1), usage=_PLAIN), _DONE],
        _used(19, 10),
    ),
    Shape(
        "fireworks stream",
        [
            _chunk(_said("Hi"), usage=None),
            _chunk(_end(), usage=_counts(19, 10, prompt_tokens_details={"cached_tokens": 2}), perf_metrics=None),
            _DONE,
        ],
        _used(19, 10, cached=2),
    ),
    Shape(
        "perplexity stream, a running total in every event",
        [
            _chunk(_said("a"), citations=["https://example.com"], usage=_counts(14, 1, search_context_size="low")),
            _chunk(
                _end(),
                citations=["https://example.com"],
                usage=_counts(14, 70, citation_tokens=0, num_search_queries=1, cost={"total_cost": 0.006}),
            ),
        ],
        _used(14, 70),
    ),
    Shape(
        "openrouter stream",
        [
            ": OPENROUTER PROCESSING",
            _chunk(_said("Hi"), provider="X"),
            _chunk(
                {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None},
                usage=_counts(
                    194,
                    2,
                    cost=0.95,
                    is_byok=False,
                    prompt_tokens_details={"cached_tokens": 100, "cache_write_tokens": 50, "audio_tokens": 0},
                    cost_details={"upstream_inference_cost": None},
                    completion_tokens_details={"reasoning_tokens": 1, "image_tokens": 0},
                ),
            ),
            _DONE,
        ],
        _used(194, 2, cached=100, cache_write=50, reasoning=1),
    ),
    Shape(
        "cohere rerank",
        {
            "id": "1",
            "results": [{"index": 3, "relevance_score": 0.99}],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 2}},
        },
        _used(0, 0, search_units=2),
        units="r300",
    ),
    Shape("jina rerank", {"results": [], "usage": {"total_tokens": 815}}, _used(815, 0), generates=False),
    Shape(
        "voyage embeddings",
        {"data": [{"embedding": [0.1]}], "usage": {"total_tokens": 10}},
        _used(10, 0),
        generates=False,
    ),
    Shape(
        "vllm stream, continuous usage",
        [
            _chunk(_said(""), usage=_counts(7, 0)),
            _chunk(_said("Hi"), usage=_counts(7, 1)),
            _chunk(_end(), usage=_counts(7, 2)),
            _chunk(usage=_counts(7, 2, prompt_tokens_details=None)),
            _DONE,
        ],
        _used(7, 2),
        hidden=(3,),
    ),
    Shape(
        "llama.cpp stream",
        [
            _chunk(_said("Hi")),
            _chunk(_end()),
            _chunk(usage=_counts(19, 10), timings={"prompt_n": 4, "cache_n": 15, "predicted_n": 10}),
            _DONE,
        ],
        _used(19, 10),
        hidden=(2,),
    ),
    Shape(
        "llama.cpp stream, timings alone",
        [
            _chunk(_said("Hi")),
            _chunk(_end(), timings={"prompt_n": 4, "cache_n": 15, "predicted_n": 10, "predicted_ms": 212.5}),
            _DONE,
        ],
        _used(19, 10, cached=15),
    ),
    Shape(
        "ollama stream",
        [
            _chunk(_said("Hi"), system_fingerprint="fp_ollama"),
            _chunk(_end(), system_fingerprint="fp_ollama"),
            _chunk(usage=_PLAIN, system_fingerprint="fp_ollama"),
            _DONE,
        ],
        _used(19, 10),
        hidden=(2,),
    ),
    Shape(
        "tgi stream",
        [
            _chunk(_said("Hi"), usage=None),
            _chunk(_end(), usage=None),
            _chunk(usage=_PLAIN, system_fingerprint="3.0-native"),
            _DONE,
        ],
        _used(19, 10),
        hidden=(2,),
    ),
    Shape(
        "lm studio",
        _chat(_PLAIN, stats={}, system_fingerprint="m"),
        _used(19, 10),
    ),
    Shape(
        "sambanova stream",
        [
            _chunk(_said("Hi")),
            _chunk(
                usage={
                    **_PLAIN,
                    "completion_tokens_per_sec": 1053.4,
                    "is_last_response": True,
                    "start_time": 1.7e9,
                }
            ),
            _DONE,
        ],
        _used(19, 10),
        hidden=(1,),
    ),
    Shape(
        "an event without choices",
        [_chunk(_said("Hi")), {"id": "1", "usage": _PLAIN}, _DONE],
        _used(19, 10),
        hidden=(1,),
    ),
    Shape(
        "an event with choices null",
        [_chunk(_said("Hi")), {"id": "1", "choices": None, "usage": _PLAIN}, _DONE],
        _used(19, 10),
        hidden=(1,),
    ),
    Shape(
        "usage before the last content, and zeros at the end",
        [
            _chunk(_said("Hi"), usage=_PLAIN),
            _chunk(_end(), usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
            _DONE,
        ],
        _used(19, 10),
    ),
    Shape(
        "an error beside the usage",
        [_chunk(_said("Hi")), {"error": {"message": "overloaded"}, "choices": [], "usage": _PLAIN}, _DONE],
        _used(19, 10),
    ),
    Shape("the completion as text", _chat({"prompt_tokens": 9, "completion_tokens": "4"}), _used(9, 4)),
    Shape(
        "only a total, of a chat",
        _chat({"total_tokens": 24}),
        _used(19, 5, estimated=True),
    ),
    Shape(
        "a total and the prompt",
        _chat({"prompt_tokens": 9, "total_tokens": 20}),
        _used(9, 11),
    ),
    Shape(
        "longer than 4 KiB",
        _chat(_counts(19, 10, details=["x" * 50] * 200)),
        _used(19, 10),
    ),
    Shape(
        "longer than 4 KiB, in a stream",
        [_chunk(_said("Hi")), _chunk(usage=_counts(19, 10, details=["x" * 50] * 200)), _DONE],
        _used(19, 10),
        hidden=(1,),
    ),
]
