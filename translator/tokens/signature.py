"""Verifies the signature of a token by the published keys of its issuer (RFC 7515)."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import orjson

#: Algorithms whose signatures only an issuer's private key can make, by the kind of key. `none` and HMAC are
#: excluded: others would know an HMAC's key.
_KINDS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    **dict.fromkeys(("EdDSA", "Ed25519"), "OKP"),
}
#: Most keys that are tried for a token that names none.
_MAX_TRIED = 4


class KeySet:
    """The keys of one issuer, from its JWK set as JSON; unreadable keys are left out."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __bool__(self) -> bool:
        return bool(self._text)

    @cached_property
    def _keys(self) -> list[tuple[str, str, str, Any]]:
        """The kind, the id, the algorithm (empty: any of its kind) and the key, read when first needed."""
        from joserfc.errors import JoseError  # noqa: PLC0415  # only where tokens are accepted
        from joserfc.jwk import import_key  # noqa: PLC0415

        found: list[tuple[str, str, str, Any]] = []
        for each in orjson.loads(self._text)["keys"]:
            try:
                key = import_key(each)
            except (JoseError, ValueError, TypeError, KeyError):
                continue
            found.append((key.key_type, each.get("kid", ""), each.get("alg", ""), key))
        return found

    def find(self, algorithm: str, key_id: str) -> list[Any]:
        """Returns the keys that can have signed a token with this header. Nothing else in a header is used,
        neither an embedded key nor a URL.
        """
        kind = _KINDS.get(algorithm)
        found = [
            key
            for of, named, only, key in self._keys
            if of == kind and only in {"", algorithm} and (not key_id or named == key_id)
        ]
        return found[:_MAX_TRIED]


def is_accepted(algorithm: str) -> bool:
    """Returns whether signatures of this algorithm are accepted."""
    return algorithm in _KINDS


def holds(value: bytes, algorithm: str, keys: list[Any]) -> bool:
    """Returns whether one of `keys` signed the token."""
    from joserfc import jws  # noqa: PLC0415
    from joserfc.errors import JoseError  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EdDSA has another name since RFC 9864
        for key in keys:
            try:
                jws.deserialize_compact(value, key, algorithms=[algorithm])
            except (JoseError, ValueError, TypeError):
                continue
            return True
    return False
