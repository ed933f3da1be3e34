"""How OpenAI reports usage, by endpoint."""

from __future__ import annotations

from tests.fakes.usage_parts import (
    DONE,
    ECHO,
    PLAIN,
    RESPONSES,
    Shape,
    chat,
    chunk,
    counts,
    end,
    said,
    typed,
    used,
)

OPENAI = [
    Shape(
        "openai chat",
        chat(
            counts(
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
        used(19, 10, cached=8, reasoning=4, audio_input=3, audio_output=2, tier="flex"),
    ),
    Shape(
        "openai chat stream",
        [
            chunk(said(""), usage=None, service_tier="default", obfuscation="aB3"),
            chunk(said("Hi"), usage=None),
            chunk(end(), usage=None),
            chunk(usage=PLAIN, service_tier="default", obfuscation=""),
            DONE,
        ],
        used(19, 10, tier="default"),
        hidden=(3,),
    ),
    Shape(
        "openai completions stream",
        [
            {"object": "text_completion", "choices": [{"text": "a", "index": 0}], "usage": None},
            {"object": "text_completion", "choices": [], "usage": counts(5, 1)},
            DONE,
        ],
        used(5, 1),
        hidden=(1,),
    ),
    Shape(
        "openai responses",
        {"object": "response", "usage": RESPONSES, **ECHO},
        used(36, 87, cached=4, reasoning=64),
    ),
    Shape(
        "openai responses stream",
        [
            typed("response.created", response={"usage": None, "service_tier": "auto"}),
            typed("response.output_text.delta", delta="Hi"),
            typed("response.completed", response={**ECHO, "service_tier": "priority", "usage": RESPONSES}),
        ],
        used(36, 87, cached=4, reasoning=64, tier="priority"),
    ),
    Shape(
        "openai embeddings",
        {"object": "list", "data": [{"embedding": "AAAA"}], "usage": {"prompt_tokens": 8, "total_tokens": 8}},
        used(8, 0),
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
        used(50, 50, images=1, image_size="1024x1024", image_quality="high"),
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
        used(50, 50, images=1, image_quality="low"),
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
        used(14, 45, audio_input=14, audio_in_ms=2_000),
        units="t1400",
    ),
    Shape(
        "openai transcription by duration",
        {"text": "Imagine", "usage": {"type": "duration", "seconds": 9}},
        used(0, 0, audio_in_ms=9_000),
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
        used(14, 31),
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
        used(14, 101),
    ),
]
