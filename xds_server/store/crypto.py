"""Encrypts credentials at rest: AES-256-GCM under a key from a file next to the data, or a given key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from xds_server.errors import SecretKeyError

_KEY_BYTES = 32
_NONCE_BYTES = 12
#: First byte of a sealed value, so that a later format can coexist with this one.
_FORMAT = b"\x01"


class Cipher:
    """Seals values under one key. `origin` says where the key came from, for error messages."""

    def __init__(self, key: bytes, origin: str) -> None:
        if len(key) != _KEY_BYTES:
            raise SecretKeyError(
                f"{origin}: a secret key has {_KEY_BYTES} bytes in base64, this one has {len(key)}"
            )
        self._key = key
        self.origin = origin

    @classmethod
    def of_text(cls, encoded: str, origin: str) -> Cipher:
        """Returns a cipher; `encoded` is base64, URL-safe or not. Raises SecretKeyError."""
        try:
            key = base64.b64decode(encoded.strip().replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            raise SecretKeyError(f"{origin}: not base64; make a key with `openssl rand -base64 32`") from None
        return cls(key, origin)

    @classmethod
    def of_file(cls, path: Path, *, create: bool) -> Cipher:
        """Reads the key file; with `create`, creates it (mode 0600) if it does not exist. Raises
        SecretKeyError.
        """
        if create:
            _create_key_file(path)
        try:
            encoded = path.read_text(encoding="ascii")
        except FileNotFoundError:
            raise SecretKeyError(
                f"{path}: the key file is missing, and the stored credentials cannot be read without it; put it "
                "back (replicas of one database share one key)"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise SecretKeyError(f"{path}: cannot read the key file: {type(error).__name__}") from None
        return cls.of_text(encoded, str(path))

    def fingerprint(self) -> str:
        """Returns what shows whether two ciphers have the same key, and reveals nothing about it."""
        return hmac.new(self._key, b"trunkline secret key check v1", hashlib.sha256).hexdigest()

    def require(self, fingerprint: str) -> None:
        """Raises SecretKeyError unless the fingerprint is this key's."""
        if fingerprint != self.fingerprint():
            raise SecretKeyError(
                f"{self.origin}: this is not the key that the database's credentials were sealed with; put back "
                "the one that belongs to this database (replicas of one database share one key)"
            )

    def seal(self, plain: bytes, associated: bytes) -> bytes:
        """Seals `plain`. `associated` says what the value belongs to; opening it for anything else fails."""
        # Imported on first use: a control plane without credentials starts faster without it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        nonce = os.urandom(_NONCE_BYTES)
        return _FORMAT + nonce + AESGCM(self._key).encrypt(nonce, plain, associated)

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """Opens a sealed value. Raises SecretKeyError if the key is another one, or the value was changed or
        moved.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        nonce, encrypted = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if sealed.startswith(_FORMAT):
                return AESGCM(self._key).decrypt(nonce, encrypted, associated)
        except (InvalidTag, ValueError):
            pass
        raise SecretKeyError(
            f"{self.origin}: the credentials of {associated.decode(errors='replace')} cannot be opened with this "
            "key: they were sealed under another key, or the row was changed or moved"
        )


def _create_key_file(path: Path) -> None:
    """Writes the key completely or not at all, and never over an existing key: two processes that start at once
    agree on one.
    """
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
