"""The values of API keys: `sk-tl-<public id>-<secret>`. Only their SHA-256 is ever stored."""

from __future__ import annotations

import hashlib
import re
import secrets
import string

_ID_ALPHABET = string.ascii_lowercase + "234567"
_ID_LENGTH = 10
_SECRET_ALPHABET = string.ascii_letters + string.digits
#: 43 characters of 62: 256 random bits.
_SECRET_LENGTH = 43
_GENERATED = re.compile(r"sk-tl-([a-z2-7]{10})-[A-Za-z0-9]{43}")


def new_id() -> str:
    """Returns a public id, safe in logs, file names and URLs."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))


def new_value(public_id: str) -> str:
    """Returns a new value of the key with this public id. It is shown once and never stored."""
    secret = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))
    return f"sk-tl-{public_id}-{secret}"


def public_id(value: str) -> str | None:
    """Returns the id inside a generated key, None for any other value."""
    match = _GENERATED.fullmatch(value)
    return match.group(1) if match else None


def hash_of(value: str) -> bytes:
    """Returns the SHA-256. It needs no salt or stretching: generated values hold 256 random bits, and lookup is by
    hash.
    """
    return hashlib.sha256(value.encode()).digest()
