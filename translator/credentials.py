"""Finds the API key in a request's headers. Its value is hashed at once and never kept."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from translator.errors import Refusal

#: No shorter keys exist, and hashing longer credentials than any token of an identity provider is wasted.
_MIN_LENGTH = 16
_MAX_LENGTH = 16_384


def key_hash(headers: Mapping[bytes, bytes]) -> bytes:
    """SHA-256 of the credential that `sent` returns, and raises what that raises."""
    return sha256(sent(headers)).digest()


def sent(headers: Mapping[bytes, bytes]) -> bytes:
    """Returns the credential in `Authorization: Bearer`, `x-api-key` or `api-key`, the first that is there.

    Raises:
        Refusal: 401, there is none, or it cannot be one.
    """
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, value = authorization.partition(b" ")
        if scheme != b"Bearer" and scheme.lower() != b"bearer":
            raise refused("The Authorization header must be `Authorization: Bearer <API key>`.")
        value = value.strip()
    else:
        value = headers.get(b"x-api-key") or headers.get(b"api-key") or b""
    if not value:
        raise refused("No API key was sent. Send one as `Authorization: Bearer <API key>`.")
    if not _MIN_LENGTH <= len(value) <= _MAX_LENGTH:
        raise refused(f"The API key is malformed: it must have {_MIN_LENGTH} to {_MAX_LENGTH} characters.")
    return value


def refused(message: str, *, code: str = "invalid_api_key") -> Refusal:
    """Returns a 401. `message` must not repeat the key."""
    return Refusal(401, code, message)


def account(organisation_id: str, key_id: str) -> str:
    """Returns the name of a key's account in Envoy's module, which bounds the bytes held for the key and for its
    organisation.
    """
    return f"{organisation_id}/{key_id}"
