"""Tokens of identity providers as API keys: which are accepted, as whom, and which are refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from tests.translator.tokens.signing import (
    AUDIENCE,
    EC,
    ED,
    ISSUER,
    KEY,
    NOW,
    OTHER,
    claims,
    issuer,
    key_set,
    signed,
)
from translator.errors import Refusal
from translator.policy.index import PolicyIndex
from translator.policy.objects import PolicyKey
from translator.tokens import AccessTokens
from translator.tokens.claims import LEEWAY


class Clock:
    """A clock that advances only on demand."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def index() -> PolicyIndex:
    found = PolicyIndex()
    found.put_organisation(policies.organisation())
    found.put_key(policies.key())
    found.put_key(policies.key("key_few", value=policies.OTHER_VALUE, models=["small*"]))
    return found


@pytest.fixture
def tokens(index: PolicyIndex, clock: Clock) -> AccessTokens:
    made = AccessTokens(index.key_by_id, clock)
    made.put(issuer())
    return made


def find(tokens: AccessTokens, token: str) -> PolicyKey | None:
    digest = hashlib.sha256(token.encode()).digest()
    return tokens.key(digest, {b"authorization": b"Bearer " + token.encode()})


def accepted(tokens: AccessTokens, token: str) -> PolicyKey:
    key = find(tokens, token)
    assert key is not None
    return key


def refused(tokens: AccessTokens, token: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        find(tokens, token)
    assert token not in caught.value.message
    assert caught.value.kind in {"invalid_request_error", "rate_limit_error", "server_error"}
    return caught.value


def test_a_token_acts_as_a_key_on_behalf_of_its_user(tokens: AccessTokens, index: PolicyIndex) -> None:
    key = accepted(tokens, signed(claims()))
    assert (key.id, key.organisation_id, key.user) == ("key_ci", "org_acme", "corp:alice")
    assert key.expires_at == NOW + 300 + LEEWAY
    own = index.key_by_id("key_ci")
    assert own is not None
    assert own.user == ""


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [
        (KEY, "RS256", "one"),
        (KEY, "PS384", "one"),
        (KEY, "RS512", None),
        (EC, "ES256", "two"),
        (ED, "EdDSA", "three"),
    ],
)
def test_signatures_of_every_kind(tokens: AccessTokens, key: Any, algorithm: str, kid: str | None) -> None:
    assert accepted(tokens, signed(claims(), key=key, algorithm=algorithm, kid=kid)).id == "key_ci"


@pytest.mark.parametrize(
    "header",
    [{"typ": "JWT"}, {"typ": "at+jwt"}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example"}],
)
def test_harmless_headers(tokens: AccessTokens, header: dict[str, str]) -> None:
    assert accepted(tokens, signed(claims(), **header)).id == "key_ci"


@pytest.mark.parametrize("audience", [AUDIENCE, ["other", AUDIENCE]])
def test_an_audience_may_be_one_of_several(tokens: AccessTokens, audience: Any) -> None:
    assert accepted(tokens, signed(claims(aud=audience))).id == "key_ci"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"aud": "another"}, "invalid_token"),
        ({"aud": ["another", 5, None]}, "invalid_token"),
        ({"aud": {"trunkline-api": 1}}, "invalid_token"),
        ({"aud": AUDIENCE + "/"}, "invalid_token"),
        ({"aud": None}, "invalid_token"),
        ({"iss": ISSUER + "/"}, "invalid_token"),
        ({"iss": "https://evil.example"}, "invalid_token"),
        ({"iss": [ISSUER]}, "invalid_token"),
        ({"iss": None}, "invalid_token"),
        ({"exp": NOW - LEEWAY}, "token_expired"),
        ({"exp": None}, "invalid_token"),
        ({"exp": str(NOW + 300)}, "invalid_token"),
        ({"exp": True}, "invalid_token"),
        ({"nbf": NOW + LEEWAY + 1}, "invalid_token"),
        ({"nbf": "soon"}, "invalid_token"),
        ({"iat": NOW + LEEWAY + 1}, "invalid_token"),
        ({"sub": None}, "invalid_token"),
        ({"sub": ""}, "invalid_token"),
        ({"sub": ["alice"]}, "invalid_token"),
        ({"sub": True}, "invalid_token"),
    ],
    ids=str,
)
def test_claims_that_are_not_accepted(tokens: AccessTokens, said: dict[str, Any], code: str) -> None:
    found = refused(tokens, signed(claims(**said)))
    assert (found.status, found.code) == (401, code)


@pytest.mark.parametrize("said", [{"exp": NOW - LEEWAY + 1}, {"nbf": NOW + LEEWAY}, {"iat": None}])
def test_clocks_may_differ_a_little(tokens: AccessTokens, said: dict[str, Any]) -> None:
    assert accepted(tokens, signed(claims(**said))).id == "key_ci"


def test_another_key_with_the_same_id_has_signed_nothing(tokens: AccessTokens) -> None:
    assert refused(tokens, signed(claims(), key=OTHER)).code == "invalid_token"


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", "HS256", "RS1", 5, None, ["RS256"]])
def test_an_algorithm_that_is_not_listed(tokens: AccessTokens, algorithm: Any) -> None:
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": "one"}).encode()).rstrip(b"=").decode()
    _, payload, signature = signed(claims()).split(".")
    for last in ("", signature):
        assert refused(tokens, f"{header}.{payload}.{last}").code == "invalid_token"


@pytest.mark.parametrize("private", [False, True])
def test_an_hmac_with_the_public_key(tokens: AccessTokens, private: bool) -> None:
    for secret in (KEY.as_pem(private=private), key_set(KEY).encode()):
        header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=")
        content = header + b"." + signed(claims()).split(".")[1].encode()
        signature = base64.urlsafe_b64encode(hmac.digest(secret, content, "sha256")).rstrip(b"=")
        token = (content + b"." + signature).decode()
        assert refused(tokens, token).code == "invalid_token"


def test_an_algorithm_of_another_kind_of_key(tokens: AccessTokens) -> None:
    """The key id names an elliptic key, and the header an algorithm of RSA."""
    token = signed(claims(), key=OTHER, algorithm="RS256", kid="two")
    assert refused(tokens, token).code == "invalid_token"


def test_a_key_that_the_token_brings_counts_for_nothing(tokens: AccessTokens) -> None:
    token = signed(claims(), key=OTHER, jwk=OTHER.as_dict(private=False), jku="https://evil.example/keys")
    assert refused(tokens, token).code == "invalid_token"


@pytest.mark.parametrize("kid", ["../../etc/passwd", "one\x00", "' OR 1=1", "/dev/null", "x" * 5_000])
def test_a_key_id_is_compared_and_nothing_else(tokens: AccessTokens, kid: str) -> None:
    unknown: list[str] = []
    tokens.on_unknown_key = unknown.append
    assert refused(tokens, signed(claims(), kid=kid)).status == 401
    assert unknown == ["corp"]


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"typ": "logout+jwt"}, {"typ": "dpop+jwt"}]
)
def test_headers_that_are_not_understood(tokens: AccessTokens, header: dict[str, Any]) -> None:
    good = signed(claims()).split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": "one", **header}).encode())
    assert refused(tokens, ".".join([head.rstrip(b"=").decode(), *good[1:]])).code == "invalid_token"


@pytest.mark.parametrize(
    "token",
    [
        "eyJAAAAAAAAAAAAAAA..",
        "eyJ.eyJ.AAAAAAAAAAAAA",
        "eyJhbGci!iJSUzI1NiJ9.e30.x",
        "eyJhbGciOiJSUzI1NiJ9.W10.x",
        "eyJhbGciOiJSUzI1NiJ9.bnVsbA.x",
        "eyJ" + "A" * 9_000 + ".e30.",
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_token_after_all(tokens: AccessTokens, token: str) -> None:
    assert refused(tokens, token).code == "invalid_token"


def test_nested_without_end(tokens: AccessTokens) -> None:
    deep = b'{"a":' + b"[" * 6_000
    token = f"{signed(claims()).split('.')[0]}.{base64.urlsafe_b64encode(deep).rstrip(b'=').decode()}.x"
    assert refused(tokens, token).code == "invalid_token"


@pytest.mark.parametrize(
    "value", ["sk-tl-abcdefghij-0123456789abcdef", "eyJhbGciOiJSUzI1NiJ9", "a.b.c.d.e.f.g.h.i.j"]
)
def test_other_credentials_are_left_to_others(tokens: AccessTokens, value: str) -> None:
    assert find(tokens, value) is None


def test_without_issuers_nothing_is_looked_at(index: PolicyIndex) -> None:
    assert find(AccessTokens(index.key_by_id), signed(claims())) is None


def test_the_first_grant_that_fits_decides(index: PolicyIndex, clock: Clock) -> None:
    tokens = AccessTokens(index.key_by_id, clock)
    grants = [
        policy.JwtGrant(claim="realm_access.roles", value="few", key_id="key_few"),
        policy.JwtGrant(claim="https://example.org/groups", value="gone", key_id=""),
        policy.JwtGrant(claim="scope", value="chat", key_id="key_ci"),
        policy.JwtGrant(claim="beta", value="true", key_id="key_ci"),
    ]
    tokens.put(issuer(grants=grants))
    few = accepted(tokens, signed(claims(realm_access={"roles": ["x", "few"]}, scope="chat")))
    assert (few.id, few.allows("small-1"), few.allows("large")) == ("key_few", True, False)
    assert accepted(tokens, signed(claims(scope="openid chat"))).id == "key_ci"
    assert accepted(tokens, signed(claims(beta=True))).id == "key_ci"
    # The next grant is not tried because a key is gone.
    gone = refused(tokens, signed(claims(scope="chat", **{"https://example.org/groups": ["gone"]})))
    assert "revoked" in gone.message
    for said in ({"scope": "chatty"}, {"scope": ["openid"]}, {"beta": 1}, {"realm_access": "few"}, {}):
        assert refused(tokens, signed(claims(**said))).code == "invalid_token"


def test_the_user_is_a_claim(index: PolicyIndex, clock: Clock) -> None:
    tokens = AccessTokens(index.key_by_id, clock)
    tokens.put(issuer(user_claim="person.id"))
    assert accepted(tokens, signed(claims(person={"id": 42}))).user == "corp:42"
    long = accepted(tokens, signed(claims(person={"id": "x" * 300}))).user
    assert len(long) < 260
    assert long != accepted(tokens, signed(claims(person={"id": "x" * 301}))).user


def test_two_issuers_of_the_same_name_in_their_tokens_are_told_apart(tokens: AccessTokens) -> None:
    """Mix-up: a token signed with one issuer's keys never passes as the other issuer's."""
    tokens.put(issuer("partner", issuer="https://partner.example", keys=key_set(OTHER)))
    assert refused(tokens, signed(claims(), key=OTHER)).code == "invalid_token"
    assert refused(tokens, signed(claims(iss="https://partner.example"))).code == "invalid_token"
    theirs = accepted(tokens, signed(claims(iss="https://partner.example"), key=OTHER))
    assert theirs.user == "partner:alice"


def test_one_issuer_with_two_audiences(tokens: AccessTokens) -> None:
    tokens.put(issuer("batch", audiences=["batch"], grants=[policy.JwtGrant(key_id="key_few")]))
    assert accepted(tokens, signed(claims(aud="batch"))).id == "key_few"
    assert accepted(tokens, signed(claims())).id == "key_ci"


def test_a_verified_token_is_remembered_until_it_expires(
    tokens: AccessTokens, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signed(claims())
    first = accepted(tokens, token)
    with monkeypatch.context() as patched:
        patched.setattr("translator.tokens.signature.holds", lambda *_: pytest.fail("verified again"))
        assert accepted(tokens, token) is first
    clock.now = NOW + 300 + LEEWAY
    assert refused(tokens, token).code == "token_expired"


def test_what_is_remembered_is_bounded(tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translator.tokens.tokens._MAX_VERIFIED", 3)
    for number in range(10):
        accepted(tokens, signed(claims(sub=f"u{number}")))
    assert len(tokens._verified) == 3


def test_a_revoked_key_ends_its_tokens(tokens: AccessTokens, index: PolicyIndex) -> None:
    token = signed(claims())
    accepted(tokens, token)
    index.remove_keys(["key_ci"])
    assert refused(tokens, token).status == 401


def test_a_changed_key_changes_its_tokens(tokens: AccessTokens, index: PolicyIndex) -> None:
    token = signed(claims())
    assert accepted(tokens, token).allows("large")
    index.put_key(policies.key(models=["small*"], expires_at=NOW + 5))
    changed = accepted(tokens, token)
    assert (changed.allows("large"), changed.expires_at) == (False, NOW + 5)


def test_an_issuer_that_is_removed_ends_its_tokens(tokens: AccessTokens) -> None:
    token = signed(claims())
    accepted(tokens, token)
    tokens.put(issuer("partner", issuer="https://partner.example"))
    tokens.remove(["corp"])
    assert refused(tokens, token).code == "invalid_token"


def test_a_key_that_the_issuer_took_back_ends_its_tokens(tokens: AccessTokens) -> None:
    token = signed(claims())
    accepted(tokens, token)
    tokens.put(issuer(keys=key_set(EC)))
    assert refused(tokens, token).code == "invalid_token"


def test_keys_that_were_not_read_yet(tokens: AccessTokens) -> None:
    unknown: list[str] = []
    tokens.on_unknown_key = unknown.append
    tokens.put(issuer(keys=""))
    found = refused(tokens, signed(claims()))
    assert (found.status, found.code) == (503, "token_keys_unavailable")
    assert unknown == ["corp"]


def test_forged_tokens_cannot_take_all_the_time(tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    good = signed(claims())
    accepted(tokens, good)
    ticks = iter(range(1_000))
    monkeypatch.setattr("translator.tokens.tokens.time.perf_counter", lambda: float(next(ticks)))
    codes = [refused(tokens, signed(claims(sub=f"u{number}"), key=OTHER)).code for number in range(7)]
    assert codes == ["invalid_token"] * 5 + ["rate_limit_exceeded"] * 2
    # Known tokens continue to be accepted.
    assert accepted(tokens, good).id == "key_ci"
