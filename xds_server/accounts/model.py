"""Users and their memberships, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """The rights of a member in an organisation; see trunkline.admin.v1.Role."""

    VIEWER = "viewer"
    MEMBER = "member"
    OPERATOR = "operator"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class User:
    """A person. `password_hash` is argon2id's, empty for a user who signs in only through an identity provider.

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
    """A membership in one organisation, which is given by id and by name."""

    organisation_id: str
    organisation: str
    role: Role


@dataclass(frozen=True, slots=True)
class Session:
    """The session of one browser. `hash` is the SHA-256 of its value; times are Unix seconds.

    It ends at `expires_at`, or when it is not used for a while after `seen_at`.
    """

    hash: bytes = field(repr=False)
    user_id: str
    created_at: int
    seen_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class PersonalToken:
    """A token for a user's programs. Times are Unix seconds; `used_at` 0: never."""

    id: str
    user_id: str
    name: str
    created_at: int
    expires_at: int
    used_at: int = 0


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """A program that waits for a personal token. `client` and `address` are its name, as it states it, and its
    address.

    `user_id` is the user who approved it; empty: nobody has decided.
    """

    user_code: str
    client: str
    address: str
    user_id: str
    expires_at: int
