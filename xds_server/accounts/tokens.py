"""The values of sessions, personal tokens and links. Each kind has a prefix of its own; only hashes are stored."""

from __future__ import annotations

import hashlib
import secrets
from enum import StrEnum

#: Bytes of randomness; a value of 256 random bits needs no salt and no stretching.
_BYTES = 32


class TokenKind(StrEnum):
    """The kind of a value, by its prefix."""

    SESSION = "tl-ses-"
    PERSONAL = "tl-pat-"
    LINK = "tl-lnk-"
    DEVICE = "tl-dev-"
    FLOW = "tl-flw-"


def new(kind: TokenKind) -> str:
    """Returns a value that nobody can guess."""
    return f"{kind}{secrets.token_urlsafe(_BYTES)}"


def hash_of(value: str) -> bytes:
    """Returns the SHA-256, by which a value is looked up."""
    return hashlib.sha256(value.encode()).digest()


def kind_of(value: str) -> TokenKind | None:
    """Returns the kind that a value claims to be; None for an admin token, or for anything else."""
    return next((kind for kind in TokenKind if value.startswith(kind)), None)
