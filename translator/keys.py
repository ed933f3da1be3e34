"""Finds the key by which a request is sent: an API key, or the key that an access token acts as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from translator import credentials
from translator.errors import Refusal, policy_unavailable
from translator.policy.objects import PolicyKey
from translator.tokens import AccessTokens


class KeySource(Protocol):
    """The parts of the policy that say whose a request is; PolicyStore and PolicyIndex describe them."""

    @property
    def certain(self) -> bool:
        """True if a missing object does not exist, and is not merely unknown yet."""

    @property
    def tokens(self) -> AccessTokens:
        """The issuers whose access tokens are accepted."""

    def key_by_hash(self, digest: bytes) -> PolicyKey | None:
        """Returns the key whose current or former secret has this SHA-256; None if there is none."""

    def has_organisation(self, organisation_id: str) -> bool:
        """Returns whether the organisation is known; without it, its keys have no limits yet."""


class Keys:
    """The keys of the policy. `clock` gives Unix seconds."""

    def __init__(self, policy: KeySource, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock

    def of(self, headers: Mapping[bytes, bytes]) -> PolicyKey:
        """Returns the key of a request. Raises Refusal."""
        hashed = credentials.key_hash(headers)
        key = self._policy.key_by_hash(hashed)
        if key is None:
            key = self._of_token(hashed, headers)
        if key.expires_at and key.expires_at <= self._clock():
            raise self.if_certain(_expired(key))
        if not self._policy.has_organisation(key.organisation_id):
            raise self.if_certain(credentials.refused("The organisation of this API key does not exist."))
        return key

    def _of_token(self, hash_: bytes, headers: Mapping[bytes, bytes]) -> PolicyKey:
        """Returns the key that a token acts as. Raises Refusal."""
        try:
            key = self._policy.tokens.key(hash_, headers)
        except Refusal as refusal:
            raise self.if_certain(refusal) from None
        if key is None:
            raise self.if_certain(credentials.refused("This API key is unknown, or it has been revoked."))
        return key

    def if_certain(self, refusal: Refusal) -> Refusal:
        """Returns `refusal`, or `policy_unavailable` while the policy is incomplete and the missing object may
        exist.
        """
        return refusal if self._policy.certain else policy_unavailable()


def _expired(key: PolicyKey) -> Refusal:
    if key.rotated:
        message = "This API key was rotated, and the grace period of this secret is over: use the new one."
        return credentials.refused(message, code="api_key_rotated")
    return credentials.refused("This API key has expired.", code="api_key_expired")
