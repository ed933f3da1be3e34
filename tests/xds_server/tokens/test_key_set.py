"""Which keys of a published key set are used, and which are left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from xds_server.accounts.errors import ProviderError
from xds_server.tokens.key_set import reduced

RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig", "alg": "RS256"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})


def public(key: Any, **other: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **other}


def ids(*keys: Any) -> list[str]:
    return sorted(each.get("kid", "") for each in json.loads(reduced({"keys": list(keys)}, "x"))["keys"])


def test_keys_of_every_kind() -> None:
    assert ids(public(RSA), public(EC), public(ED)) == ["ec", "ed", "rsa"]


def test_only_what_verifies_is_kept() -> None:
    text = reduced({"keys": [{**RSA.as_dict(private=True), "x5c": ["MII"], "x5u": "https://evil.example"}]}, "x")
    (key,) = json.loads(text)["keys"]
    assert key.keys() == {"kty", "n", "e", "kid", "alg"}


def test_the_same_keys_are_the_same_text() -> None:
    assert reduced({"keys": [public(EC), public(ED)]}, "x") == reduced({"keys": [public(ED), public(EC)] * 2}, "y")


@pytest.mark.parametrize(
    "other",
    [
        OctKey.generate_key(256).as_dict(),
        public(RSA, use="enc"),
        public(RSA, alg="RSA-OAEP"),
        public(RSA, alg="HS256"),
        public(RSA, alg=["RS256"]),
        public(RSA, n=5),
        public(RSA, n="AQAB"),
        public(RSA, n="_" * 2_000),
        public(RSA, kid=5),
        public(RSA, kid="a\nb"),
        public(RSA, kid="k" * 300),
        public(EC, crv="P-42"),
        public(EC, x="AAAA"),
        {"kty": ["RSA"]},
        {"kty": "RSA"},
        {},
        "RSA",
        None,
    ],
)
def test_what_verifies_nothing_is_left_out(other: Any) -> None:
    assert ids(other, public(ED)) == ["ed"]


@pytest.mark.parametrize("said", [{}, {"keys": []}, {"keys": {}}, {"keys": "x"}, {"keys": [{}]}], ids=str)
def test_a_set_without_keys_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ProviderError, match=r"https://login\.example/keys has no key"):
        reduced(said, "https://login.example/keys")


def test_many_keys_are_bounded() -> None:
    assert len(ids(*(public(ED, kid=f"k{number}") for number in range(60)))) == 50
