"""An issuer's keys, and tokens signed with them."""

from __future__ import annotations

import json
import warnings
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey
from trunkline_proto.policy.v1 import policy_pb2 as policy

NOW = 1_800_000_000
ISSUER = "https://login.example.org"
AUDIENCE = "trunkline-api"

KEY = RSAKey.generate_key(2048, {"kid": "one"})
OTHER = RSAKey.generate_key(2048, {"kid": "one"})
EC = ECKey.generate_key("P-256", {"kid": "two"})
ED = OKPKey.generate_key("Ed25519", {"kid": "three"})


def key_set(*keys: Any) -> str:
    return json.dumps({"keys": [each.as_dict(private=False) for each in keys]})


def issuer(name: str = "corp", *, keys: str | None = None, **fields: Any) -> policy.JwtIssuer:
    """Returns an issuer that grants `key_ci` to every token."""
    given = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "grants": [policy.JwtGrant(key_id="key_ci")],
        **fields,
    }
    return policy.JwtIssuer(id=name, keys=key_set(KEY, EC, ED) if keys is None else keys, **given)


def claims(**other: Any) -> dict[str, Any]:
    """Returns acceptable claims, changed by `other`; None leaves a claim out."""
    found = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOW - 10, "exp": NOW + 300, **other}
    return {name: value for name, value in found.items() if value is not None}


def signed(
    said: dict[str, Any] | bytes,
    *,
    key: Any = KEY,
    algorithm: str = "RS256",
    kid: str | None = "one",
    **header: Any,
) -> str:
    """Returns the token; `header` overrides the correct header."""
    parts = {"alg": algorithm, **({"kid": kid} if kid is not None else {}), **header}
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    anything = jws.JWSRegistry(
        algorithms=[algorithm], strict_check_header=False
    )  # the header may be one that no honest issuer sends
    with warnings.catch_warnings(action="ignore"):  # EdDSA has another name since RFC 9864
        return jws.serialize_compact(parts, payload, key, registry=anything)
