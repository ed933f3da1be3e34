"""The facts of a request's body on which the decision depends. Reading is pure and may take long; deciding is
neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from translator.bodies import estimate, requested_units
from translator.bodies.conversation import digest
from translator.bodies.estimate import Estimate
from translator.bodies.form import FormBody
from translator.bodies.json_body import parse
from translator.endpoints import BodyKind, Endpoint
from translator.errors import Refusal

#: Python 3.11 takes as long to look up a member of an enum as to measure a small body.
_JSON = BodyKind.JSON
#: Members that name the end user of a request, in the order of preference.
_NAMING = ("user", "safety_identifier")
_NAMED = frozenset(_NAMING)
#: The part of a response that clients ask for that keep their conversations themselves.
_SEALED = "reasoning.encrypted_content"
#: Bytes of a user's name; more would not fit into a label.
_LONGEST_USER = 200
#: Characters of a model's name; the names of routes are shorter.
_LONGEST_MODEL = 400


class BodyFacts(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The facts of a body.

    `model` is cut if it is longer than any route's, and empty if the request names none. `place` is where it
    stands in the body, and `usage` is the edit that requests a stream's usage, both as in `Allowed`. `user` is the
    client's own end user, cut. `units` is a word of module `requested_units`.
    """

    model: str
    streams: bool
    place: str
    usage: str
    user: str
    estimate: Estimate
    units: str = ""
    #: The digest of the conversation; 0 if it was not computed.
    head: int = 0
    #: The response that the request continues.
    previous: str = ""
    #: Bytes before the position at which a `prompt_cache_key` may be inserted; 0 if it may not, or was not looked
    #: for.
    opening: int = 0
    #: The answer has reasoning that only the account that made it can decrypt, and the next turn sends it back.
    sealed: bool = False


def read(body: bytes, content_type: bytes, endpoint: Endpoint) -> tuple[BodyFacts, dict[str, Any]]:
    """Returns the facts of a body, and the members of a JSON body. Raises Refusal (400)."""
    return _json(body, endpoint) if endpoint.body is _JSON else (_form(body, content_type, endpoint), {})


def end_user(values: Mapping[str, Any]) -> str:
    """Returns the end user of a request: its `user`, or else the `safety_identifier` that replaces it at OpenAI.
    Empty if it names none.
    """
    for name in _NAMING:
        named = values.get(name)
        if type(named) is str and named:
            return named
    return ""


def ending(name: str) -> str:
    """Returns a digest that replaces the end of a name that is too long, so that two long names stay different."""
    return f"~{blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def _named(user: str) -> str:
    if len(user) <= _LONGEST_USER:
        return user
    end = ending(user)
    return user[: _LONGEST_USER - len(end)] + end


def _json(body: bytes, endpoint: Endpoint) -> tuple[BodyFacts, dict[str, Any]]:
    parsed = parse(body)
    values = parsed.values
    previous, head, sealed = None, 0, False
    if endpoint.background:
        if values.get("background") not in (None, False):
            raise _no_background()
        previous = values.get("previous_response_id")
        included = values.get("include")
        if type(included) is list and _SEALED in included:
            head, sealed = digest(values), True
    streams, usage = False, "-"
    if parsed.streams and endpoint.streams:
        streams = True
        edit = parsed.usage_edit() if endpoint.stream_usage else None
        if edit is not None:
            usage = f"{edit.offset}:{edit.length}:{edit.text}"
    estimated = estimate.of_json(endpoint.path, body, values, escapes=parsed.escapes)
    facts = BodyFacts(
        parsed.model[:_LONGEST_MODEL],
        streams,
        _place("j", body, parsed.model_value()) if "model" in values else _place("o", body, parsed.opening()),
        usage,
        "" if _NAMED.isdisjoint(values) else _named(end_user(values)),
        estimated,
        requested_units.of_json(endpoint.path, values, estimated.answers)
        if endpoint.path in requested_units.KINDS
        else "",
        head,
        previous if type(previous) is str else "",
        sealed=sealed,
    )
    return facts, values


def _form(body: bytes, content_type: bytes, endpoint: Endpoint) -> BodyFacts:
    parsed = FormBody(body, content_type)
    estimated = estimate.of_form(endpoint.path, parsed)
    return BodyFacts(
        parsed.model[:_LONGEST_MODEL],
        endpoint.streams and parsed.streams,
        _place("f", body, parsed.model_value()) if parsed.has_model else _place("p", body, parsed.opening()),
        "-",
        _named(parsed.field("user") or ""),
        estimated,
        requested_units.of_form(endpoint.path, parsed, estimated.answers)
        if endpoint.path in requested_units.KINDS
        else "",
    )


def _place(kind: str, body: bytes, place: tuple[int, int]) -> str:
    offset, length = place
    # A target that knows the model by exactly this name gets the body unchanged.
    name = _shown(body[offset : offset + length]) if length <= _LONGEST_MODEL else ""
    return f"{offset}:{length}:{kind}:{name}"


@lru_cache(maxsize=1_024)
def _shown(name: bytes) -> str:
    """Returns a model's name as it stands in a body; empty unless it is printable ASCII."""
    shown = name.decode() if name.isascii() else ""
    return shown if shown.isprintable() else ""


def _no_background() -> Refusal:
    """Returns a 400: the usage of a background request would not be known."""
    message = (
        "This gateway does not serve background responses: their usage would not be known. Leave `background` "
        "out, and use `stream` for answers that take long."
    )
    return Refusal(400, "unsupported_parameter", message, param="background")
