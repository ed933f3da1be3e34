"""How a conversation is recognised."""

from __future__ import annotations

from typing import Any

import pytest

from translator.bodies.conversation import digest

SYSTEM = {"role": "system", "content": "You are kind."}
FIRST = {"role": "user", "content": "Hello"}
ANSWER = {"role": "assistant", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "look"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://a/1.png"}}


def chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), **more}


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (chat(SYSTEM, FIRST), chat(SYSTEM, FIRST, ANSWER, {"role": "user", "content": "And?"})),
        (chat(SYSTEM, FIRST, tools=[TOOL]), chat(SYSTEM, FIRST, ANSWER, tools=[TOOL], temperature=1)),
        ({"input": [FIRST], "instructions": "x"}, {"input": [FIRST, ANSWER, FIRST], "instructions": "x"}),
        (chat(FIRST, prompt_cache_key="k"), chat(SYSTEM, prompt_cache_key="k")),
        ({"input": "Hello"}, {"input": [FIRST, ANSWER, FIRST]}),
        ({"prompt": "x" * 5_000}, {"prompt": "x" * 5_000 + "y"}),
        (chat({"role": "user", "content": [IMAGE]}), chat({"role": "user", "content": [IMAGE]}, ANSWER)),
    ],
)
def test_its_turns_have_one_digest(first: dict[str, Any], later: dict[str, Any]) -> None:
    assert digest(first) == digest(later) != 0


def test_others_have_another() -> None:
    other_image = {"type": "image_url", "image_url": {"url": "https://a/2.png"}}
    conversations: list[dict[str, Any]] = [
        chat(SYSTEM, FIRST),
        chat(FIRST),
        chat(SYSTEM, {"role": "user", "content": "Hallo"}),
        chat(SYSTEM, FIRST, tools=[TOOL]),
        chat(SYSTEM, FIRST, tools=[{"type": "web_search"}]),
        chat(FIRST, prompt_cache_key="k"),
        chat({"role": "user", "content": [IMAGE]}),
        chat({"role": "user", "content": [other_image]}),
        {"input": "Hello you"},
        {"input": "Hello", "instructions": "x"},
        {"prompt": "Hello?"},
    ]
    assert len({digest(each) for each in conversations}) == len(conversations)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"messages": 1}, {"messages": []}, {"messages": [1]}, {"input": [1, 2, 3]}, {"input": ["a", "b"]},
        {"prompt": None}, {"messages": None, "prompt_cache_key": 1}, {"messages": [{"role": 1, "content": 2}]},
        {"messages": [{"content": [1, {"image_url": {"url": 1}}]}]},
    ],
)  # fmt: skip
def test_what_is_no_conversation_has_none(body: dict[str, Any]) -> None:
    assert digest(body) == 0


def test_half_of_a_surrogate_pair_is_text_as_any() -> None:
    assert digest({"input": "\ud800"}) != 0
