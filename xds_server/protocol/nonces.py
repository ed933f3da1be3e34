"""Makes nonces that a client cannot guess, so that it can answer only responses that it has read."""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest

_DIGEST_BYTES = 8


class Nonces:
    """The nonces of one stream, whose `secret` nobody else knows: a number and its keyed digest, such as
    `7-3f9a…`.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._issued = 0

    def next(self) -> str:
        """Returns a nonce that this stream has not had."""
        self._issued += 1
        return self._nonce(self._issued)

    def issued(self, nonce: str) -> bool:
        """Returns whether `next` has returned this nonce."""
        number, _, _ = nonce.partition("-")
        if not (number.isascii() and number.isdigit() and len(number) <= len(str(self._issued))):
            return False
        return 1 <= int(number) <= self._issued and compare_digest(
            nonce.encode(errors="surrogatepass"), self._nonce(int(number)).encode()
        )

    def _nonce(self, number: int) -> str:
        digest = blake2b(number.to_bytes(8, "big"), key=self._secret, digest_size=_DIGEST_BYTES)
        return f"{number}-{digest.hexdigest()}"
