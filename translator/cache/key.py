"""The key of a cached answer: which requests are identical. No I/O.

Two requests get one answer if they have the same scope, route, endpoint and canonical body. The canonical body is
the parsed body with its members sorted, so white space, escapes and the order of members do not matter; everything
else does. If parsing loses something (a member that occurs twice, a number that a double cannot represent), the
body's own bytes are the canonical body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import Any

import msgspec
import orjson

from translator.bodies.facts import end_user
from translator.bodies.faithful import is_faithful
from translator.endpoints import CHAT, RESPONSES, BodyKind, Endpoint

_JSON = BodyKind.JSON
#: Names of end users and hints for a provider's own cache, which do not change the answer.
_HINTS = frozenset({"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"})
#: Headers by which clients choose other versions of an API.
_BETAS = (b"openai-beta", b"anthropic-beta")
#: Ends of the stores' keys: an answer's form.
PLAIN, STREAM = b"p", b"e"
#: Prefixes of what is hashed: sorted members, or the body as it was sent.
_ORDERED, _AS_SENT = b"o", b"s"


class CacheScope(Enum):
    """The callers that share an answer. Different organisations never share one."""

    ORGANISATION = "organisation"
    KEY = "key"
    USER = "user"


@dataclass(frozen=True, slots=True)
class CacheRule:
    """A route's cache settings. `ttl` is in seconds, above 0. `max_bytes` is the memory for the route's answers; 0
    means all of it.

    `targets` identifies the route's targets and their addresses: other targets give other answers. `store` is the
    address of the gateway's outside store, including its password; if it is empty, answers are in this process, in
    `memory` bytes (0: the default).
    """

    ttl: int
    scope: CacheScope
    max_bytes: int
    targets: str = ""
    store: str = field(default="", repr=False)
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Requester:
    """The ids of organisation, key and route of a request. `user` is the one that a token names; it is empty for
    a plain API key, whose holder is believed about the user.
    """

    organisation: str
    key: str
    route: str
    user: str = ""


class Content(msgspec.Struct, frozen=True, gc=False):
    """The answer that a body asks for, regardless of who sends it.

    `digest` identifies the canonical body. `user` is the end user that the body names. `streams` is the form of
    the answer. `usage` says whether the client wants a stream's usage event. `convertible` says that the other
    form can be converted.
    """

    digest: bytes
    user: str
    streams: bool
    usage: bool
    convertible: bool


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """The answer that a request wants. `digest` is the key without the form; the other fields are as in
    `Content`.
    """

    digest: bytes
    streams: bool
    usage: bool
    convertible: bool

    @property
    def key(self) -> bytes:
        """The store's key of an answer in this form."""
        return self.digest + (STREAM if self.streams else PLAIN)

    @property
    def other(self) -> bytes:
        """The store's key of an answer in the other form."""
        return self.digest + (PLAIN if self.streams else STREAM)


def content_of(endpoint: Endpoint, body: bytes, values: Mapping[str, Any] | None = None) -> Content | None:
    """Returns the answer that a body asks for; None if no cached answer could be right for it.

    `body` has been accepted by `translator.bodies.json_body`; `values` is what orjson reads in it, if that is
    known already.
    """
    if endpoint.body is not _JSON:
        return None
    if values is None:
        values = orjson.loads(body)
    if not _repeatable(endpoint, values):
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
    digest = sha256(canonical(body, values, left_out)).digest()
    return Content(digest, end_user(values), streams, usage, convertible)


def wanted(
    requester: Requester,
    rule: CacheRule,
    content: Content,
    target: bytes,
    headers: Mapping[bytes, bytes] | None = None,
) -> Wanted | None:
    """Returns the answer that a request wants; None if the rule gives it none.

    `target` is path and query. `headers` are the request's, of which some change a target's answer.
    """
    user: str | list[str] = content.user if rule.scope is CacheScope.USER and not requester.user else ""
    if requester.user and rule.scope is not CacheScope.ORGANISATION:
        user = [requester.user]  # no text that the holder of an API key claims is equal to it
    if rule.scope is CacheScope.USER and not user:
        return None
    betas = [headers.get(name, b"").decode("latin-1") for name in _BETAS] if headers else []
    whose = orjson.dumps(
        [
            requester.organisation,
            rule.scope.value,
            requester.key if rule.scope is CacheScope.KEY else "",
            user,
            requester.route,
            rule.targets,
            target.decode("latin-1"),
            *(betas if any(betas) else ()),
        ]
    )
    # A JSON text delimits itself, so nothing of it can be confused with the digest that follows.
    digest = sha256(whose + content.digest).digest()
    return Wanted(digest, content.streams, content.usage, content.convertible)


def canonical(body: bytes, values: Mapping[str, Any], left_out: set[str]) -> bytes:
    """Returns bytes that are equal for bodies that mean the same without the members `left_out`.

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
    except orjson.JSONEncodeError:  # nested more deeply than orjson writes
        return _AS_SENT + body


def _repeatable(endpoint: Endpoint, values: Mapping[str, Any]) -> bool:
    """Returns whether a cached answer is as good as a new one, which is not so if the target stores something."""
    if endpoint.path == RESPONSES:
        # By default, the target stores a response: two clients would share it, and one could delete it.
        if values.get("store") is not False:
            return False
        return not (values.get("previous_response_id") or values.get("conversation") or values.get("background"))
    return not values.get("store")
