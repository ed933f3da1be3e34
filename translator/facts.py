"""What is decided by of a request's body. Reading it is pure and may take long; deciding is neither."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from translator import estimate, requested_units
from translator.body import JsonBody
from translator.endpoints import BodyKind, Endpoint
from translator.errors import Refusal
from translator.estimate import Estimate
from translator.form import FormBody

#: Python 3.11 takes as long to look up a member of an enum as to measure a small body.
_JSON = BodyKind.JSON
#: Members that name whom a request is sent for, the first of them first.
_NAMING = ("user", "safety_identifier")
_NAMED = frozenset(_NAMING)
#: Of a user's name: more does not fit into a label.
_LONGEST_USER = 200
#: Characters of a model's name; those of routes are shorter.
_LONGEST_MODEL = 400


class BodyFacts(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """`model` is cut where it is longer than any route's, and empty where the request names none. `place` is where
    it stands in the body, and `usage` what asks for the usage of a stream, as in `Allowed`. `user` is the client's
    own, cut. `units` is the word of module `units`.
    """

    model: str
    streams: bool
    place: str
    usage: str
    user: str
    estimate: Estimate
    units: str = ""
    #: The digest of its conversation; 0 where it was not made yet.
    head: int = 0
    #: The response that the request continues.
    previous: str = ""
    #: Bytes up to where a `prompt_cache_key` may be put in; 0 where it may not, or nobody has looked.
    opening: int = 0


def read(body: bytes, content_type: bytes, endpoint: Endpoint) -> tuple[BodyFacts, dict[str, Any]]:
    """Returns the members of a JSON body beside its facts. Raises Refusal (400)."""
    return _json(body, endpoint) if endpoint.body is _JSON else (_form(body, content_type, endpoint), {})


def end_user(values: Mapping[str, Any]) -> str:
    """Returns whom a request is sent for: its `user`, or else the `safety_identifier` by which OpenAI replaces it.
    Empty where it names nobody.
    """
    for name in _NAMING:
        named = values.get(name)
        if type(named) is str and named:
            return named
    return ""


def ending(name: str) -> str:
    """Returns what takes the place of the end of a name that is too long: two long names stay two."""
    return f"~{blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def _named(user: str) -> str:
    if len(user) <= _LONGEST_USER:
        return user
    end = ending(user)
    return user[: _LONGEST_USER - len(end)] + end


def _json(body: bytes, endpoint: Endpoint) -> tuple[BodyFacts, dict[str, Any]]:
    parsed = JsonBody(body)
    values = parsed.values
    previous = None
    if endpoint.background:
        if values.get("background") not in (None, False):
            raise _no_background()
        previous = values.get("previous_response_id")
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
        0,
        previous if type(previous) is str else "",
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
    # A target that knows the model by this very name gets the body as it is.
    name = _shown(body[offset : offset + length]) if length <= _LONGEST_MODEL else ""
    return f"{offset}:{length}:{kind}:{name}"


@lru_cache(maxsize=1_024)
def _shown(name: bytes) -> str:
    """Returns a model's name as it stands in a body; empty unless it is printable ASCII."""
    shown = name.decode() if name.isascii() else ""
    return shown if shown.isprintable() else ""


def _no_background() -> Refusal:
    """400. Its usage would not be known."""
    message = (
        "This gateway does not serve background responses: what they use would not be known. Leave `background` "
        "out, and use `stream` for answers that take long."
    )
    return Refusal(400, "unsupported_parameter", message, param="background")
