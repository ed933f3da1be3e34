"""Identifies the conversation of a request by what stays at its beginning as the conversation grows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

#: Characters of each text that are used.
_LONGEST_TEXT = 4_096
#: Most messages before the user's first one, parts of a message, and tools that are used.
_MAX = 16


def digest(values: Mapping[str, Any]) -> int:
    """Returns a number for the conversation, the same in each of its turns; 0 if the request has none.

    It is made from the client's own `prompt_cache_key`, or else from what stays at the beginning as a conversation
    grows: the names of the tools, the system prompt, and the user's first message.
    """
    cached = values.get("prompt_cache_key")
    if type(cached) is str and cached:
        texts = ["key", cached[:_LONGEST_TEXT]]
    else:
        texts = list(_head(values))
        if not texts:
            return 0
        tools = values.get("tools")
        if type(tools) is list:
            texts += [_tool(each) for each in tools[:_MAX]]
    # A text may contain half of an escaped surrogate pair.
    joined = "\0".join(texts).encode("utf-8", "replace")
    return int.from_bytes(blake2b(joined, digest_size=8).digest(), "little")


def _head(values: Mapping[str, Any]) -> Iterator[str]:
    """Yields the texts at the beginning of a Chat Completion, a Response or a Completion."""
    instructions = values.get("instructions")
    if type(instructions) is str:
        yield instructions[:_LONGEST_TEXT]
    messages = values.get("messages", values.get("input", values.get("prompt")))
    if type(messages) is str:
        yield "user"  # as in the list of messages that the next turn sends
        yield messages[:_LONGEST_TEXT]
    elif type(messages) is list:
        for message in messages[:_MAX]:
            if type(message) is not dict:
                return  # a list of tokens or of prompts
            role = message.get("role")
            if type(role) is str:
                yield role[:_LONGEST_TEXT]
            yield from _content(message.get("content"))
            if role == "user":
                return


def _content(content: object) -> Iterator[str]:
    if type(content) is str:
        yield content[:_LONGEST_TEXT]
    elif type(content) is list:
        for part in content[:_MAX]:
            if type(part) is dict:
                for value in part.values():
                    # An image is an object with its address, or the address itself.
                    inner = value.get("url", value.get("data")) if type(value) is dict else value
                    if type(inner) is str:
                        yield inner[:_LONGEST_TEXT]


def _tool(tool: object) -> str:
    """Returns the tool's name, or its kind if it has none."""
    if type(tool) is not dict:
        return ""
    function = tool.get("function")
    named = function if type(function) is dict else tool
    name = named.get("name", tool.get("type"))
    return name[:_LONGEST_TEXT] if type(name) is str else ""
