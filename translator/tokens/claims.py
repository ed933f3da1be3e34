"""Reads a token's parts, and decides whether its claims are acceptable now. No I/O, no clock, no cryptography."""

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
#: The beginning of every token, the base64 of `{"`.
_BEGINNING = b"eyJ"
#: Types of tokens that are used like access tokens (RFC 9068, RFC 7519). Others, such as logout tokens, are not
#: accepted.
_TYPES = frozenset({"", "jwt", "at+jwt", "application/jwt", "application/at+jwt"})


class Parts(NamedTuple):
    """The parts of a token that is not verified yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def algorithm(self) -> str:
        """The algorithm in the header; empty if it is no text."""
        return _word(self.header.get("alg"))

    @property
    def key_id(self) -> str:
        """The id that is compared with those of published keys, and used for nothing else."""
        return _word(self.header.get("kid"))

    @property
    def issuer(self) -> str:
        """The claim `iss`, which is not verified yet; empty if it is no text."""
        return _word(self.claims.get("iss"))


def looks_like_token(value: bytes) -> bool:
    """Returns whether a credential can be a token at all. The gateway's own API keys never look like one."""
    return value.startswith(_BEGINNING) and value.count(b".") == 2


def parts(value: bytes) -> Parts:
    """Splits a token into its parts. Raises Refusal (401)."""
    header, claims, _ = value.split(b".")
    found = Parts(_decoded(header), _decoded(claims))
    # Critical extensions must be understood, and none is (RFC 7515, section 4.1.11).
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
    """Returns the Unix seconds until which a token is accepted. Raises Refusal (401) if that is over, or has not
    begun.
    """
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
    """Returns the sender of the request. Raises Refusal (401) if the token does not name one."""
    value = _claim(claims, name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise wrong(f"its claim `{name}` does not identify a user")
    return value if len(value) <= _MAX_USER else value[: _MAX_USER - 40] + ending(value)


def has_value(claims: Mapping[str, Any], name: str, value: str) -> bool:
    """Returns whether a claim equals `value`, or has it among its items or words."""
    given = _claim(claims, name)
    if isinstance(given, list):
        return value in [_text(each) for each in given]
    text = _text(given)
    return text == value or (isinstance(given, str) and value in text.split(" "))


def wrong(why: str) -> Refusal:
    """Returns a 401 that says why a token is not accepted. `why` must not repeat the token."""
    return refused(f"This token is not accepted: {why}.", code="invalid_token")


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Returns a claim by its name, which may contain dots, or else by its path."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _decoded(part: bytes) -> Mapping[str, Any]:
    """Decodes a part strictly: two readers must not understand a token differently. Raises Refusal (401)."""
    try:
        found = orjson.loads(base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, dict):
        raise wrong("it cannot be read")
    return found


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """Returns a claim in seconds; None if it is missing. Raises Refusal (401) if it is not a number."""
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
