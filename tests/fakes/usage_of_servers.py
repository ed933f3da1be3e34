"""How inference servers report usage, and irregular reports."""

from __future__ import annotations

from tests.fakes.usage_parts import DONE, PLAIN, Shape, chat, chunk, counts, end, said, used

SERVERS = [
    Shape(
        "vllm stream, continuous usage",
        [
            chunk(said(""), usage=counts(7, 0)),
            chunk(said("Hi"), usage=counts(7, 1)),
            chunk(end(), usage=counts(7, 2)),
            chunk(usage=counts(7, 2, prompt_tokens_details=None)),
            DONE,
        ],
        used(7, 2),
        hidden=(3,),
    ),
    Shape(
        "llama.cpp stream",
        [
            chunk(said("Hi")),
            chunk(end()),
            chunk(usage=counts(19, 10), timings={"prompt_n": 4, "cache_n": 15, "predicted_n": 10}),
            DONE,
        ],
        used(19, 10),
        hidden=(2,),
    ),
    Shape(
        "llama.cpp stream, timings alone",
        [
            chunk(said("Hi")),
            chunk(end(), timings={"prompt_n": 4, "cache_n": 15, "predicted_n": 10, "predicted_ms": 212.5}),
            DONE,
        ],
        used(19, 10, cached=15),
    ),
    Shape(
        "ollama stream",
        [
            chunk(said("Hi"), system_fingerprint="fp_ollama"),
            chunk(end(), system_fingerprint="fp_ollama"),
            chunk(usage=PLAIN, system_fingerprint="fp_ollama"),
            DONE,
        ],
        used(19, 10),
        hidden=(2,),
    ),
    Shape(
        "tgi stream",
        [
            chunk(said("Hi"), usage=None),
            chunk(end(), usage=None),
            chunk(usage=PLAIN, system_fingerprint="3.0-native"),
            DONE,
        ],
        used(19, 10),
        hidden=(2,),
    ),
    Shape(
        "lm studio",
        chat(PLAIN, stats={}, system_fingerprint="m"),
        used(19, 10),
    ),
    Shape(
        "sambanova stream",
        [
            chunk(said("Hi")),
            chunk(
                usage={
                    **PLAIN,
                    "completion_tokens_per_sec": 1053.4,
                    "is_last_response": True,
                    "start_time": 1.7e9,
                }
            ),
            DONE,
        ],
        used(19, 10),
        hidden=(1,),
    ),
    Shape(
        "an event without choices",
        [chunk(said("Hi")), {"id": "1", "usage": PLAIN}, DONE],
        used(19, 10),
        hidden=(1,),
    ),
    Shape(
        "an event with choices null",
        [chunk(said("Hi")), {"id": "1", "choices": None, "usage": PLAIN}, DONE],
        used(19, 10),
        hidden=(1,),
    ),
    Shape(
        "usage before the last content, and zeros at the end",
        [
            chunk(said("Hi"), usage=PLAIN),
            chunk(end(), usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
            DONE,
        ],
        used(19, 10),
    ),
    Shape(
        "an error beside the usage",
        [chunk(said("Hi")), {"error": {"message": "overloaded"}, "choices": [], "usage": PLAIN}, DONE],
        used(19, 10),
    ),
    Shape("the completion as text", chat({"prompt_tokens": 9, "completion_tokens": "4"}), used(9, 4)),
    Shape(
        "only a total, of a chat",
        chat({"total_tokens": 24}),
        used(19, 5, estimated=True),
    ),
    Shape(
        "a total and the prompt",
        chat({"prompt_tokens": 9, "total_tokens": 20}),
        used(9, 11),
    ),
    Shape(
        "longer than 4 KiB",
        chat(counts(19, 10, details=["x" * 50] * 200)),
        used(19, 10),
    ),
    Shape(
        "longer than 4 KiB, in a stream",
        [chunk(said("Hi")), chunk(usage=counts(19, 10, details=["x" * 50] * 200)), DONE],
        used(19, 10),
        hidden=(1,),
    ),
]
