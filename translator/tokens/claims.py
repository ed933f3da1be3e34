"""What a token says: its parts, and whether its claims are acceptable now. No I/O, no clock, no cryptography."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from translator.bodies.facts import ending
from translator.credentials import refused
from translator.errors import Refusal

#: Seconds by which clocks may differ.
LEEWAY = 30
_MAX_USER = 255
#: What a token begins with in its base64: `{"`.
_BEGINNING = b"eyJ"
#: Types of token that are used like access tokens (RFC 9068, RFC 7519). Others, such as logout tokens, are not.
_TYPES = frozenset({"", "jwt", "at+jwt", "application/jwt", "application/at+jwt"})


class Parts(NamedTuple):
    """A token, taken apart and not yet verified."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def algorithm(self) -> str:
        return _word(self.header.get("alg"))

    @property
    def key_id(self) -> str:
        """Compared with the ids of published keys, and used for nothing else."""
        return _word(self.header.get("kid"))

    @property
    def issuer(self) -> str:
        return _word(self.claims.get("iss"))


def looks_like_token(value: bytes) -> bool:
    """Returns whether a credential can be a token at all. No API key of the gateway's own looks like one."""
    return value.startswith(_BEGINNING) and value.count(b".") == 2


def parts(value: bytes) -> Parts:
    """Takes a token apart. Raises Refusal (401)."""
    header, claims, _ = value.split(b".")
    found = Parts(_decoded(header), _decoded(claims))
    # A critical extension has to be understood, and none is (RFC 7515, section 4.1.11).
    if "crit" in found.header or _word(found.header.get("typ")).lower() not in _TYPES:
        raise wrong("it is of a kind that is not accepted")
    return found


def has_audience(claims: Mapping[str, Any], audiences: frozenset[str]) -> bool:
    """Returns whether a token is for one of `audiences` (RFC 7519, section 4.1.3)."""
    given = claims.get("aud")
    return any(
        isinstance(each, str) and each in audiences for each in (given if isinstance(given, list) else [given])
    )


def expiry(claims: Mapping[str, Any], now: float) -> float:
    """Returns the Unix seconds until which a token is accepted. Raises Refusal (401): that is over, or not yet."""
    ends = _seconds(claims, "exp")
    if ends is None:
        raise wrong("it has no `exp`")
    if ends + LEEWAY <= now:
        raise refused("This token has expired: get a new one from the identity provider.", code="token_expired")
    for name in ("nbf", "iat"):
        begins = _seconds(claims, name)
        if begins is not None and begins - LEEWAY > now:
            raise wrong(f"its `{name}` is in the future: compare the clocks")
    return ends + LEEWAY


def user(claims: Mapping[str, Any], name: str) -> str:
    """Returns who sends the request. Raises Refusal (401): the token does not say it."""
    value = _claim(claims, name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise wrong(f"its claim `{name}` does not say whose it is")
    return value if len(value) <= _MAX_USER else value[: _MAX_USER - 40] + ending(value)


def has_value(claims: Mapping[str, Any], name: str, value: str) -> bool:
    """Returns whether a claim is `value`, or has it among its items or words."""
    given = _claim(claims, name)
    if isinstance(given, list):
        return value in [_text(each) for each in given]
    text = _text(given)
    return text == value or (isinstance(given, str) and value in text.split(" "))


def wrong(why: str) -> Refusal:
    """Returns a 401 that says why a token is not accepted. `why` must not repeat the token."""
    return refused(f"This token is not accepted: {why}.", code="invalid_token")


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """By its name, which may have dots in it, or else by its path."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _decoded(part: bytes) -> Mapping[str, Any]:
    """Raises Refusal (401). As strict as a reader can be: two that disagree about a token would be worse."""
    try:
        found = orjson.loads(base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, dict):
        raise wrong("it cannot be read")
    return found


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """None where there is no such claim. Raises Refusal (401): it is no number."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(f"its `{name}` is not a number")
    return float(value)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else ""
