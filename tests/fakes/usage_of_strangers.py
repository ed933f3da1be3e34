"""Usage reports of less common providers: other names, other positions, and other members next to the counts."""

from __future__ import annotations

from tests.fakes.usage_parts import DONE, PLAIN, RESPONSES, Shape, chat, chunk, counts, end, said, typed, used

STRANGERS = [
    Shape(
        "cohere, billed units beside tokens",
        chat(
            {
                "billed_units": {"input_tokens": 5.0, "output_tokens": 418.0},
                "tokens": {"input_tokens": 71, "output_tokens": 418},
            }
        ),
        used(5, 418),
    ),
    Shape(
        "cohere embeddings",
        {"embeddings": {"float": [[0.1]]}, "meta": {"billed_units": {"input_tokens": 6}}},
        used(6, 0),
        generates=False,
    ),
    Shape(
        "bedrock converse names",
        chat({"inputTokens": 30, "outputTokens": 12, "totalTokens": 42, "cacheReadInputTokens": 10}),
        used(30, 12, cached=10),
    ),
    Shape(
        "vercel names",
        chat(
            {
                "promptTokens": 30,
                "completionTokens": 12,
                "totalTokens": 42,
                "cachedInputTokens": 7,
                "reasoningTokens": 3,
            }
        ),
        used(30, 12, cached=7, reasoning=3),
    ),
    Shape(
        "other spellings of details",
        chat(
            {
                "PromptTokens": 30,
                "CompletionTokens": 12,
                "TotalTokens": 42,
                "promptTokensDetails": {"cachedTokens": 8, "audioTokens": 2},
                "completionTokensDetails": {"reasoningTokens": 4},
            }
        ),
        used(30, 12, cached=8, audio_input=2, reasoning=4),
    ),
    Shape(
        "vertex as openai",
        chat(counts(9, 4, extra_properties={"google": {"traffic_type": "ON_DEMAND"}})),
        used(9, 4),
    ),
    Shape(
        "deepinfra with its cost",
        chat(counts(15, 16, estimated_cost=1.8e-06, prompt_tokens_details=None)),
        used(15, 16),
    ),
    Shape(
        "xai with its cost",
        chat(counts(15, 16, cost_in_usd_ticks=377_560_000_000_000, num_sources_used=2)),
        used(15, 16),
    ),
    Shape(
        "snowflake, guardrails in the total",
        chat({"prompt_tokens": 15, "completion_tokens": 16, "guardrails_tokens": 5, "total_tokens": 36}),
        used(15, 21, reasoning=5),
    ),
    Shape("sglang", chat(counts(15, 16, reasoning_tokens=4)), used(15, 16, reasoning=4)),
    Shape(
        "perplexity deep research, reasoning beside the total",
        chat(counts(33, 716, citation_tokens=2_001, num_search_queries=18, reasoning_tokens=2_399)),
        used(33, 3_115, reasoning=2_399),
    ),
    Shape(
        "reasoning beside the completion, without a total",
        chat(
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "completion_tokens_details": {"reasoning_tokens": 94},
            }
        ),
        used(32, 103, reasoning=94),
    ),
    Shape(
        "cached tokens beside the prompt",
        chat(
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 541,
                "prompt_tokens_details": {"cached_tokens": 500},
            }
        ),
        used(532, 9, cached=500),
    ),
    Shape(
        "fewer cached tokens, beside the prompt by the total",
        chat(
            {
                "prompt_tokens": 600,
                "completion_tokens": 9,
                "total_tokens": 1_109,
                "prompt_tokens_details": {"cached_tokens": 500},
            }
        ),
        used(1_100, 9, cached=500),
    ),
    Shape(
        "more cached tokens than prompt, without a total",
        chat({"prompt_tokens": 3, "completion_tokens": 9, "cached_tokens": 40}),
        used(43, 9, cached=40),
    ),
    Shape(
        "statistics that are no JSON",
        chat(counts(19, 10, tokens_per_second=float("nan"), load=float("inf"), name="\ud800", id=10**400)),
        used(19, 10),
    ),
    Shape(
        "statistics that are no JSON, in a stream",
        [chunk(said("Hi")), chunk(usage=counts(19, 10, tps=float("-inf"))), DONE],
        used(19, 10),
        hidden=(1,),
    ),
    Shape(
        "xai stream, citations with the usage",
        [chunk(said("Hi")), chunk(usage=PLAIN, citations=["https://example.com"]), DONE],
        used(19, 10),
    ),
    Shape(
        "azure stream, filter results with the usage",
        [
            chunk(said("Hi")),
            chunk({"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 44}}),
            chunk(usage=PLAIN, prompt_filter_results=[{"prompt_index": 0}]),
            DONE,
        ],
        used(19, 10),
    ),
    Shape(
        "perplexity stream, questions and images with the usage",
        [chunk(said("Hi")), chunk(usage=PLAIN, images=[{"image_url": "u"}], related_questions=["why"]), DONE],
        used(19, 10),
    ),
    Shape(
        "empty lists beside the usage",
        [chunk(said("Hi")), chunk(usage=PLAIN, citations=[], images=None, prompt_filter_results=[]), DONE],
        used(19, 10),
        hidden=(1,),
    ),
    Shape(
        "usage after the end",
        [chunk(said("Hi")), chunk(end()), DONE, chunk(usage=PLAIN)],
        used(19, 10),
        hidden=(3,),
    ),
    Shape(
        "openai responses stream, incomplete",
        [
            typed("response.created", response={"usage": None}),
            typed("response.output_text.delta", delta="Hi"),
            typed("response.incomplete", response={"status": "incomplete", "usage": RESPONSES}),
        ],
        used(36, 87, cached=4, reasoning=64),
    ),
    Shape(
        "openai responses stream, failed",
        [
            typed("response.output_text.delta", delta="Hi"),
            typed("response.failed", response={"error": {"code": "server_error"}, "usage": RESPONSES}),
        ],
        used(36, 87, cached=4, reasoning=64),
    ),
]
