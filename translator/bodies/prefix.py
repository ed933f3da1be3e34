"""Helps providers that cache the beginnings of prompts: adds a `prompt_cache_key` to requests without one, and
puts the members of tools and schemas in an order that is the same in every request.

Off unless a route enables it: otherwise bodies pass byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import msgspec
import orjson

from translator.bodies.facts import BodyFacts, read
from translator.bodies.faithful import is_faithful
from translator.endpoints import CHAT, RESPONSES, Endpoint
from translator.errors import Refusal

#: Endpoints whose requests may have a `prompt_cache_key`.
_ENDPOINTS = frozenset({CHAT, RESPONSES})
_KEY = "prompt_cache_key"
#: Members that providers put before a conversation and whose order has no meaning.
_IN_FRONT = ("tools", "functions", "response_format", "text")
#: Members of a schema by name: models write them in this order.
_BY_NAME = "properties"

#: The number of bytes at the beginning of a body that are replaced, and their replacement.
Replaced = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class PromptCacheRule:
    """A route's settings for prompt caches. The key is derived from the conversation, or from the end user if the
    request names one.
    """

    key: Literal["", "conversation", "user"]
    stable_order: bool


def opening(body: bytes, values: Mapping[str, Any], endpoint: Endpoint) -> int:
    """Returns the bytes of a JSON body before the position at which a key may be inserted; 0 if none may."""
    if endpoint.path not in _ENDPOINTS or _KEY in values:
        return 0
    return body.index(b"{") + 1


def made_key(organisation: str, route: str, rule: PromptCacheRule, facts: BodyFacts) -> str:
    """Returns the key of a request; empty if it cannot be derived. No two organisations share a key."""
    if rule.key == "user" and facts.user:
        named = f"user\n{facts.user}"
    elif rule.key and facts.head:
        named = f"conversation\n{facts.head}"
    else:
        return ""
    owned = f"{organisation}\n{route}\n{named}".encode("utf-8", "replace")
    return blake2b(owned, digest_size=16).hexdigest()


def with_key(facts: BodyFacts, key: str) -> tuple[BodyFacts, Replaced]:
    """Returns the facts of a body with the key inserted, and the replacement of the beginning that inserts it."""
    text = b'{"%b":"%b",' % (_KEY.encode(), key.encode())
    moved = len(text) - facts.opening
    return (
        msgspec.structs.replace(
            facts, place=_moved_place(facts.place, moved), usage=_moved(facts.usage, moved), opening=0
        ),
        (facts.opening, text),
    )


def ordered(
    body: bytes, values: Mapping[str, Any], facts: BodyFacts, endpoint: Endpoint
) -> tuple[BodyFacts, bytes] | None:
    """Returns facts and bytes of the body with its members in a stable order; None if the members are in that
    order already, or if reordering would lose something.
    """
    if endpoint.path not in _ENDPOINTS or not any(name in values for name in _IN_FRONT):
        return None
    try:
        sorted_ = {name: _sorted(value) if name in _IN_FRONT else value for name, value in values.items()}
        text = orjson.dumps(sorted_)
        if text == body or not is_faithful(body, text):
            return None
        found, _ = read(text, b"", endpoint)
    except (RecursionError, orjson.JSONEncodeError, Refusal):
        return None
    return msgspec.structs.replace(found, head=facts.head, opening=1 if facts.opening else 0), text


def _sorted(value: Any) -> Any:
    if type(value) is list:
        return [_sorted(each) for each in value]
    if type(value) is not dict:
        return value
    required = value.get("required")
    return {
        name: _by_name(value[name], required) if name == _BY_NAME else _sorted(value[name])
        for name in sorted(value)
    }


def _by_name(members: Any, required: Any) -> Any:
    """Sorts members: the required ones first, in the order in which they are required, as the schemas of languages
    with ordered fields have them anyway. Answers are written in the order of the members.
    """
    if type(members) is not dict:
        return _sorted(members)
    names: Sequence[Any] = required if type(required) is list else ()
    places = {name: place for place, name in reversed(list(enumerate(names))) if type(name) is str}
    last = len(names)
    chosen = sorted(members, key=lambda name: (places.get(name, last), name))
    return {name: _sorted(members[name]) for name in chosen}


def _moved_place(place: str, by: int) -> str:
    """Returns where the model stands after the change; the brace of a body without a model stays at the
    body's beginning.
    """
    offset, _, rest = place.partition(":")
    length, _, kind = rest.partition(":")
    return f"0:{length}:{kind}" if kind.startswith("o:") else f"{int(offset) + by}:{rest}"


def _moved(edit: str, by: int) -> str:
    if edit == "-":
        return edit
    offset, _, rest = edit.partition(":")
    return f"{int(offset) + by}:{rest}"
