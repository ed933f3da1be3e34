"""A published JWK set (RFC 7517), reduced to the keys that may have signed an access token. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xds_server.accounts.errors import ProviderError
from xds_server.accounts.oidc.client import ALGORITHMS

#: Members of public keys (RFC 7518, section 6; RFC 8037). Certificates and private parts are left out.
_MEMBERS: Mapping[str, tuple[str, ...]] = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_MAX_KEYS = 50
_MAX_ID = 200
#: RSA moduli in bits: shorter ones are broken, and longer ones make each signature cost milliseconds.
_MIN_BITS, _MAX_BITS = 2_048, 8_192


def reduced(said: Mapping[str, Any], where: str) -> str:
    """Returns the usable keys of a JWK set as JSON; the order of the keys does not matter.

    Raises ProviderError if there are none.
    """
    keys = said.get("keys")
    listed = [_key(each) for each in keys[:_MAX_KEYS]] if isinstance(keys, list) else []
    found = sorted({json.dumps(each, sort_keys=True) for each in listed if each is not None})
    if not found:
        raise ProviderError(f"{where} has no key that signs tokens ({', '.join(ALGORITHMS)})")
    return '{"keys": [' + ", ".join(found) + "]}"


def _key(given: Any) -> dict[str, str] | None:
    """Returns the public part of one key; None if it cannot sign anything that is accepted."""
    from joserfc.errors import JoseError  # noqa: PLC0415  # only where tokens are accepted
    from joserfc.jwk import import_key  # noqa: PLC0415

    kind = given.get("kty") if isinstance(given, dict) else None
    members = _MEMBERS.get(kind) if isinstance(kind, str) else None
    if members is None or given.get("use", "sig") != "sig" or given.get("alg", ALGORITHMS[0]) not in ALGORITHMS:
        return None
    key_id = given.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > _MAX_ID or not key_id.isprintable():
        return None
    names = ("kty", *members, *(name for name in ("kid", "alg") if given.get(name)))
    found = {name: given.get(name) for name in names}
    if not all(isinstance(value, str) for value in found.values()):
        return None
    try:
        key: Any = import_key(found)
        bits = key.public_key.key_size if kind == "RSA" else _MIN_BITS
    except (JoseError, ValueError, TypeError, KeyError, ArithmeticError):
        return None
    return {name: str(value) for name, value in found.items()} if _MIN_BITS <= bits <= _MAX_BITS else None
