"""The values of join tokens: `tlj_<public id>_<secret>_<fingerprint of the CA>`. Only their SHA-256 is stored."""

from __future__ import annotations

import re
import secrets
import string

_SECRET_ALPHABET = string.ascii_letters + string.digits
#: 43 characters of 62: 256 random bits.
_SECRET_LENGTH = 43
_VALUE = re.compile(r"tlj_([a-z2-7]{10})_[A-Za-z0-9]{43}_[0-9a-f]{64}")


def new_value(public_id: str, fingerprint: str) -> str:
    """Returns a new value. `fingerprint` is the SHA-256 of the CA certificate's DER in hex, which the node
    pins.
    """
    secret = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))
    return f"tlj_{public_id}_{secret}_{fingerprint}"


def public_id(value: str) -> str | None:
    """Returns the id inside a token, None for anything else."""
    match = _VALUE.fullmatch(value)
    return match.group(1) if match else None
