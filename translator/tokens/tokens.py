"""The API key that a token acts as, and its user. Verified tokens are remembered until they expire."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from trunkline_proto.policy.v1 import policy_pb2 as policy

from translator.credentials import sent
from translator.errors import Refusal
from translator.policy.objects import PolicyKey
from translator.reading.budget import RefusedWork
from translator.tokens import claims, signature
from translator.tokens.claims import Parts

#: Most tokens that are remembered; the oldest are forgotten first.
_MAX_VERIFIED = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class _Issuer:
    """An issuer whose tokens are accepted, and its grants: the first matching one decides which key a token acts
    as.
    """

    name: str
    issuer: str
    audiences: frozenset[str]
    keys: signature.KeySet
    user_claim: str
    #: The claim, its value, and the key's id.
    grants: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, message: policy.JwtIssuer) -> _Issuer:
        return cls(
            message.id,
            message.issuer,
            frozenset(message.audiences),
            signature.KeySet(message.keys),
            message.user_claim or "sub",
            tuple((each.claim, each.value, each.key_id) for each in message.grants),
        )

    def key_id(self, said: Mapping[str, Any]) -> str:
        """Returns the key's id by the first matching grant. Raises Refusal (401) if none matches."""
        for claim, value, key_id in self.grants:
            if not claim or claims.has_value(said, claim, value):
                return key_id
        raise claims.wrong("no grant matches it")


@dataclass(frozen=True, slots=True, eq=False)
class _Verified:
    """An accepted token. `of` is the key that it acts as, and `key` is the same key on behalf of its user."""

    of: PolicyKey
    key: PolicyKey


@cache
def _preload() -> None:
    """Imports the cryptography, which takes some tenths of a second, while requests go on."""
    threading.Thread(target=importlib.import_module, args=["joserfc.jws"], name="joserfc", daemon=True).start()


class AccessTokens:
    """Accepts tokens. `key_by_id` finds API keys; `clock` gives Unix seconds."""

    def __init__(
        self, key_by_id: Callable[[str], PolicyKey | None], clock: Callable[[], float] = time.time
    ) -> None:
        self._key_by_id = key_by_id
        self._clock = clock
        self._issuers: dict[str, _Issuer] = {}
        #: Verified tokens, by their SHA-256.
        self._verified: dict[bytes, _Verified] = {}
        self._wasted = RefusedWork()
        #: Called with the name of a token's issuer if the token's key is not among the published keys.
        self.on_unknown_key: Callable[[str], None] = lambda name: None

    def put(self, message: policy.JwtIssuer) -> None:
        """Adds or replaces an issuer, which invalidates everything verified before."""
        _preload()
        self._issuers[message.id] = _Issuer.of(message)
        self._verified.clear()

    def remove(self, names: Iterable[str]) -> None:
        """Forgets issuers and all their tokens."""
        for name in names:
            self._issuers.pop(name, None)
        self._verified.clear()

    def key(self, digest: bytes, headers: Mapping[bytes, bytes]) -> PolicyKey | None:
        """Returns the key that the token in `headers` acts as; None if no token was sent, or none is accepted
        here. `digest` is the SHA-256 of the credential.

        Raises:
            Refusal: 401, the token is not accepted; 429, too much was spent on forged ones; 503, the issuer's keys
                are not known yet.
        """
        if not self._issuers:
            return None
        known = self._verified.get(digest)
        if known is not None:
            if known.of is self._key_by_id(known.of.id) and known.key.expires_at > self._clock():
                return known.key
            del self._verified[digest]
        value = sent(headers)
        return self._verify(digest, value) if claims.looks_like_token(value) else None

    def _verify(self, digest: bytes, value: bytes) -> PolicyKey:
        token = claims.parts(value)
        issuer = self._issuer_of(token)
        ends = claims.expiry(token.claims, self._clock())
        self._check_signature(issuer, token, value)
        user = claims.user(token.claims, issuer.user_claim)
        of = self._key_by_id(issuer.key_id(token.claims))
        if of is None:
            raise claims.wrong("the API key that it would act as does not exist, or has been revoked")
        if 0 < of.expires_at < ends:
            ends = of.expires_at
        key = replace(of, expires_at=int(ends), user=f"{issuer.name}:{user}", _allowed={})
        if len(self._verified) >= _MAX_VERIFIED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = _Verified(of, key)
        return key

    def _issuer_of(self, token: Parts) -> _Issuer:
        """Returns the token's issuer. Raises Refusal (401) if it is not accepted, or the token is for another
        audience.
        """
        found = [each for each in self._issuers.values() if each.issuer == token.issuer]
        if not found:
            raise claims.wrong("this gateway does not accept tokens of its issuer")
        for each in found:
            if claims.has_audience(token.claims, each.audiences):
                return each
        raise claims.wrong("its audience is not this gateway")

    def _check_wasted(self, issuer: _Issuer) -> None:
        """Raises Refusal (429) if forged tokens of this issuer cost too much CPU. Tokens that were verified before
        are still accepted.
        """
        try:
            self._wasted.check(issuer.name, self._clock)
        except Refusal as spent:
            message = "Too many tokens with wrong signatures were sent: new ones are verified again later."
            raise Refusal(spent.status, spent.code, message, kind=spent.kind, headers=spent.headers) from None

    def _check_signature(self, issuer: _Issuer, token: Parts, value: bytes) -> None:
        """Verifies the signature. Raises Refusal: 401, 429 or 503."""
        if not signature.is_accepted(token.algorithm):
            raise claims.wrong("its signature has an algorithm that is not accepted")
        if not issuer.keys:
            self.on_unknown_key(issuer.name)
            raise Refusal(
                503,
                "token_keys_unavailable",
                "The keys of this token's issuer have not been read yet.",
                kind="server_error",
                headers={"retry-after": "5"},
            )
        keys = issuer.keys.find(token.algorithm, token.key_id)
        if not keys:
            self.on_unknown_key(issuer.name)
            raise claims.wrong("its issuer has not published the key that it names")
        self._check_wasted(issuer)
        begun = time.perf_counter()
        if not signature.holds(value, token.algorithm, keys):
            self._wasted.charge(issuer.name, time.perf_counter() - begun, self._clock())
            raise claims.wrong("its signature is invalid")
