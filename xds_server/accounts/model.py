"""Users and what they belong to, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What a member of an organisation may do in it; see trunkline.admin.v1.Role."""

    VIEWER = "viewer"
    MEMBER = "member"
    OPERATOR = "operator"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class User:
    """`password_hash` is argon2id's, empty for a user who signs in through an identity provider alone.

    `created_at` is Unix seconds. `admin`: of the installation.
    """

    id: str
    email: str
    name: str = ""
    admin: bool = False
    disabled: bool = False
    password_hash: str = field(default="", repr=False)
    created_at: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Membership:
    """In one organisation, which is there by id and by name."""

    organisation_id: str
    organisation: str
    role: Role


@dataclass(frozen=True, slots=True)
class Session:
    """One browser's. `hash` is the SHA-256 of its value; times are Unix seconds.

    It ends at `expires_at`, or when it is not used for a while after `seen_at`.
    """

    hash: bytes = field(repr=False)
    user_id: str
    created_at: int
    seen_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class PersonalToken:
    """What a user's programs call with. Times are Unix seconds; `used_at` 0: never."""

    id: str
    user_id: str
    name: str
    created_at: int
    expires_at: int
    used_at: int = 0


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """A program that waits for a personal token. `client` and `address` are what it says and where it is.

    `user_id` is who approved it; empty: nobody has decided.
    """

    user_code: str
    client: str
    address: str
    user_id: str
    expires_at: int
