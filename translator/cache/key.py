"""Which requests are the same: the key of an answer. No I/O.

Two requests get one answer if they have the same scope, route, endpoint and canonical body. The canonical body is
the parsed body with its members in order, so that white space, escapes and the order of members do not matter;
everything else does. Where parsing loses something (a member that occurs twice, a number that a double cannot
hold), the body's own bytes are the canonical body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import Any

import orjson

from translator.endpoints import BodyKind, Endpoint
from translator.facts import end_user

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
_JSON = BodyKind.JSON
#: Names of the client and hints for a provider's own cache: they change no answer.
_HINTS = frozenset({"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"})
#: A string of a valid document.
_LITERAL = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
#: Numbers with more digits than a double keeps apart, or with an exponent.
_ODD_NUMBER = re.compile(rb"[0-9][0-9.]{15}|[0-9][eE]")
#: Beginnings of what is hashed: of the members in order, and of the body as it was sent.
_ORDERED, _AS_SENT = b"o", b"s"


class Scope(Enum):
    """Who shares an answer. Organisations never do."""

    ORGANISATION = "organisation"
    KEY = "key"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a route caches: `ttl` in seconds, above 0. `most_bytes` is what its answers may take of the memory, 0 as
    much as all. `targets` stands for the targets of the route: other targets, other answers. `store` is where the
    gateway keeps answers, with its password; empty for its memory, of which they may take `memory` bytes (0: the
    default).
    """

    ttl: int
    scope: Scope
    most_bytes: int
    targets: str = ""
    store: str = field(default="", repr=False)
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Requester:
    """The ids of who asks through which route."""

    organisation: str
    key: str
    route: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """An answer that a request wants. `digest` is the key without the form; `streams` is the form, and `usage`
    tells whether the client wants the event of a stream that reports usage. `convertible`: the other form would do
    too.
    """

    digest: bytes
    streams: bool
    usage: bool
    convertible: bool

    @property
    def key(self) -> bytes:
        """By which an answer in this form is kept."""
        return self.digest + (b"e" if self.streams else b"p")

    @property
    def other(self) -> bytes:
        """By which an answer in the other form is kept."""
        return self.digest + (b"p" if self.streams else b"e")


def wanted(requester: Requester, rule: Rule, endpoint: Endpoint, target: bytes, body: bytes) -> Wanted | None:
    """Returns what the request wants, or None if no kept answer could be right for it.

    `target` is path and query. `body` has been accepted by `translator.body`.
    """
    if endpoint.body is not _JSON:
        return None
    values: dict[str, Any] = orjson.loads(body)
    if not _repeatable(endpoint, values):
        return None
    user = end_user(values) if rule.scope is Scope.USER else ""
    if rule.scope is Scope.USER and not user:
        return None
    streams = endpoint.streams and values.get("stream") is True
    convertible = endpoint.path == CHAT
    left_out = set() if endpoint.path == RESPONSES else set(_HINTS)
    left_out.add("stream")
    options = values.get("stream_options")
    usage = type(options) is dict and options.get("include_usage") is True
    known = options is None or (type(options) is dict and options.keys() <= {"include_usage"})
    if convertible and streams and known:
        left_out.add("stream_options")
    whose = orjson.dumps(
        [
            requester.organisation,
            rule.scope.value,
            requester.key if rule.scope is Scope.KEY else "",
            user,
            requester.route,
            rule.targets,
            target.decode("latin-1"),
        ]
    )
    # A JSON text ends where it ends, so that nothing of it can be taken for a part of the body.
    digest = sha256(whose + canonical(body, values, left_out)).digest()
    return Wanted(digest, streams, usage, convertible)


def canonical(body: bytes, values: Mapping[str, Any], left_out: set[str]) -> bytes:
    """Returns bytes that are equal for bodies that say the same without the members `left_out`.

    `values` is what orjson reads in `body`.
    """
    try:
        ordered = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
        if not is_faithful(body, ordered):
            return _AS_SENT + body
        if left_out.isdisjoint(values):
            return _ORDERED + ordered
        cached = {name: value for name, value in values.items() if name not in left_out}
        return _ORDERED + orjson.dumps(cached, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # nested more deeply than it writes
        return _AS_SENT + body


def is_faithful(body: bytes, ordered: bytes) -> bool:
    """Returns whether parsing lost nothing: each member that occurs twice takes a comma with it."""
    odd = _ODD_NUMBER.search(body) is not None
    if not odd and b"\\u" not in body:
        return body.count(b",") == ordered.count(b",")
    bare = _LITERAL.sub(b"", body)
    if odd and _ODD_NUMBER.search(bare) is not None:
        return False
    return bare.count(b",") == _LITERAL.sub(b"", ordered).count(b",")


def _repeatable(endpoint: Endpoint, values: Mapping[str, Any]) -> bool:
    """Returns whether the request leaves nothing behind at its target that an answer from here would not."""
    if endpoint.path == RESPONSES:
        # By default a response is stored there: two clients would share it, and one could delete it.
        if values.get("store") is not False:
            return False
        return not (values.get("previous_response_id") or values.get("conversation") or values.get("background"))
    return not values.get("store")
