"""How other providers report usage."""

from __future__ import annotations

from tests.fakes.usage_parts import DONE, PLAIN, Shape, chat, chunk, counts, end, said, typed, used

PROVIDERS = [
    Shape(
        "azure stream",
        [
            {
                "choices": [],
                "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
                "usage": None,
            },
            chunk(said("Hi", content_filter_results={}), usage=None),
            chunk(end(), usage=None),
            {"id": "", "object": "", "created": 0, "model": "", "choices": [], "usage": PLAIN},
            DONE,
        ],
        used(19, 10),
        hidden=(3,),
    ),
    Shape(
        "groq chat",
        chat(
            {**PLAIN, "queue_time": 0.037, "prompt_time": 0.0006, "completion_time": 0.46, "total_time": 0.461},
            x_groq={"id": "req_1"},
            usage_breakdown=None,
            service_tier="on_demand",
        ),
        used(19, 10, tier="on_demand"),
    ),
    Shape(
        "groq stream",
        [
            chunk(said(""), x_groq={"id": "req_1"}),
            chunk(said("Hi")),
            chunk(end(), x_groq={"id": "req_1", "usage": {"queue_time": 0.07, **PLAIN, "total_time": 0.0279}}),
            DONE,
        ],
        used(19, 10),
    ),
    Shape(
        "groq stream with include_usage",
        [
            chunk(said(""), x_groq={"id": "req_1"}),
            chunk(end(), x_groq={"id": "req_1", "usage": PLAIN}),
            chunk(usage=PLAIN, x_groq={"id": "req_1", "usage": PLAIN}),
            DONE,
        ],
        used(19, 10),
        hidden=(2,),
    ),
    Shape(
        "deepseek",
        chat(
            counts(
                500,
                38,
                prompt_tokens_details={"cached_tokens": 320},
                completion_tokens_details={"reasoning_tokens": 30},
                prompt_cache_hit_tokens=320,
                prompt_cache_miss_tokens=180,
            )
        ),
        used(500, 38, cached=320, reasoning=30),
    ),
    Shape(
        "deepseek, older",
        chat(counts(500, 38, prompt_cache_hit_tokens=320, prompt_cache_miss_tokens=180)),
        used(500, 38, cached=320),
    ),
    Shape(
        "deepseek stream",
        [
            chunk(said("Hi")),
            chunk(end(), usage=counts(500, 38, prompt_cache_hit_tokens=320, prompt_cache_miss_tokens=180)),
            DONE,
        ],
        used(500, 38, cached=320),
    ),
    Shape("moonshot", chat(counts(1336, 31, cached_tokens=1280)), used(1336, 31, cached=1280)),
    Shape(
        "moonshot stream",
        [
            chunk(said("Hi")),
            chunk(end(usage=counts(1336, 31, cached_tokens=1280))),
            DONE,
        ],
        used(1336, 31, cached=1280),
    ),
    Shape(
        "moonshot stream of two choices",
        [
            chunk(said("Hi")),
            chunk(end(index=1, usage=counts(19, 13))),
            chunk(end(usage=counts(19, 21))),
            DONE,
        ],
        used(19, 34),
    ),
    Shape(
        "anthropic names",
        chat(
            {
                "input_tokens": 21,
                "cache_creation_input_tokens": 188_086,
                "cache_read_input_tokens": 100,
                "cache_creation": {"ephemeral_5m_input_tokens": 188_000, "ephemeral_1h_input_tokens": 86},
                "output_tokens": 393,
                "service_tier": "standard",
            }
        ),
        used(188_207, 393, cached=100, cache_write=188_000, cache_write_1h=86),
    ),
    Shape(
        "anthropic names, counted in",
        chat(counts(1000, 50, cache_creation_input_tokens=300, cache_read_input_tokens=600)),
        used(1000, 50, cached=600, cache_write=300),
    ),
    Shape(
        "anthropic stream",
        [
            typed(
                "message_start",
                message={
                    "id": "msg_1",
                    "content": [],
                    "usage": {"input_tokens": 25, "cache_read_input_tokens": 75, "output_tokens": 1},
                },
            ),
            typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"}),
            typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 15}),
            typed("message_stop"),
        ],
        used(100, 15, cached=75),
    ),
    Shape(
        "gemini names",
        chat(
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
        used(100, 50, cached=60, reasoning=30, audio_input=10),
    ),
    Shape(
        "gemini names in every event",
        [
            {"choices": [said("a")], "usage_metadata": {"prompt_token_count": 9, "total_token_count": 9}},
            {
                "choices": [end()],
                "usage_metadata": {"prompt_token_count": 9, "candidates_token_count": 4, "total_token_count": 13},
            },
            DONE,
        ],
        used(9, 4),
    ),
    Shape(
        "gemini as openai, thoughts in the total only",
        chat({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 113}),
        used(9, 104, reasoning=100),
    ),
    Shape(
        "mistral",
        chat(counts(13, 7, prompt_audio_seconds=4, num_cached_tokens=5)),
        used(13, 7, cached=5),
    ),
    Shape(
        "mistral stream",
        [chunk(said("Hi")), chunk(end(), usage=counts(13, 7)), DONE],
        used(13, 7),
    ),
    Shape(
        "xai",
        chat(
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
        used(32, 103, cached=6, reasoning=94),
    ),
    Shape(
        "xai stream, usage before an event without choices",
        [chunk(said("Hi")), chunk(end(), usage=PLAIN), chunk(), DONE],
        used(19, 10),
    ),
    Shape(
        "together stream",
        [chunk(said("Hi"), usage=None), chunk(end(seed=1), usage=PLAIN), DONE],
        used(19, 10),
    ),
    Shape(
        "fireworks stream",
        [
            chunk(said("Hi"), usage=None),
            chunk(end(), usage=counts(19, 10, prompt_tokens_details={"cached_tokens": 2}), perf_metrics=None),
            DONE,
        ],
        used(19, 10, cached=2),
    ),
    Shape(
        "perplexity stream, a running total in every event",
        [
            chunk(said("a"), citations=["https://example.com"], usage=counts(14, 1, search_context_size="low")),
            chunk(
                end(),
                citations=["https://example.com"],
                usage=counts(14, 70, citation_tokens=0, num_search_queries=1, cost={"total_cost": 0.006}),
            ),
        ],
        used(14, 70),
    ),
    Shape(
        "openrouter stream",
        [
            ": OPENROUTER PROCESSING",
            chunk(said("Hi"), provider="X"),
            chunk(
                {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None},
                usage=counts(
                    194,
                    2,
                    cost=0.95,
                    is_byok=False,
                    prompt_tokens_details={"cached_tokens": 100, "cache_write_tokens": 50, "audio_tokens": 0},
                    cost_details={"upstream_inference_cost": None},
                    completion_tokens_details={"reasoning_tokens": 1, "image_tokens": 0},
                ),
            ),
            DONE,
        ],
        used(194, 2, cached=100, cache_write=50, reasoning=1),
    ),
    Shape(
        "cohere rerank",
        {
            "id": "1",
            "results": [{"index": 3, "relevance_score": 0.99}],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 2}},
        },
        used(0, 0, search_units=2),
        units="r300",
    ),
    Shape("jina rerank", {"results": [], "usage": {"total_tokens": 815}}, used(815, 0), generates=False),
    Shape(
        "voyage embeddings",
        {"data": [{"embedding": [0.1]}], "usage": {"total_tokens": 10}},
        used(10, 0),
        generates=False,
    ),
]
