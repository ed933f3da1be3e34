"""The SQL schema of accounts; tables.py has that of the desired state.

Times are Unix seconds, 0 = never; a `hash` is the SHA-256 of a value that is stored nowhere.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, Text
from sqlmodel import Field, SQLModel


class UserRow(SQLModel, table=True):
    """A person. `password_hash` is argon2id's, empty for a person who signs in only through an identity
    provider.
    """

    __tablename__ = "user_account"
    id: str = Field(primary_key=True)
    email: str = Field(unique=True)
    name: str
    admin: bool
    disabled: bool
    password_hash: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    version: int = Field(sa_type=BigInteger)


class MemberRow(SQLModel, table=True):
    """A user's membership in an organisation, with the role."""

    __tablename__ = "organisation_member"
    organisation_id: str = Field(primary_key=True, foreign_key="organisation.id", ondelete="CASCADE")
    user_id: str = Field(primary_key=True, foreign_key="user_account.id", ondelete="CASCADE", index=True)
    role: str


class KeyOwnerRow(SQLModel, table=True):
    """A member's ownership of an API key."""

    __tablename__ = "key_owner"
    key_id: str = Field(primary_key=True, foreign_key="api_key.id", ondelete="CASCADE")
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)


class SessionRow(SQLModel, table=True):
    """A browser that is signed in."""

    __tablename__ = "user_session"
    hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    created_at: int = Field(sa_type=BigInteger)
    seen_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)


class AccountLinkRow(SQLModel, table=True):
    """A single-use link: for setup, for an invitation, for a new password.

    `user_id` is set for a new password; `email`, `organisation_id` (empty: none), `role` and `admin` for an
    invitation. `created_by` is the id of the user who made it; empty: the installation.
    """

    __tablename__ = "account_link"
    id: str = Field(primary_key=True)
    purpose: str
    hash: bytes = Field(sa_type=LargeBinary, unique=True)
    email: str
    organisation_id: str
    role: str
    admin: bool
    user_id: str
    created_at: int = Field(sa_type=BigInteger)
    created_by: str = Field(index=True)
    expires_at: int = Field(sa_type=BigInteger)


class GuessRow(SQLModel, table=True):
    """Attempts to sign in, by the subjects of accounts.guesses."""

    __tablename__ = "sign_in_guess"
    subject: str = Field(primary_key=True)
    count: int
    last_at: int = Field(sa_type=BigInteger, index=True)


class PersonalTokenRow(SQLModel, table=True):
    """A token for a user's programs."""

    __tablename__ = "personal_token"
    id: str = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary, unique=True)
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    name: str
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)
    used_at: int = Field(sa_type=BigInteger)


class DeviceLoginRow(SQLModel, table=True):
    """A program that waits for approval. `user_id` is the user who approved it; empty: nobody has decided."""

    __tablename__ = "device_login"
    hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    user_code: str = Field(unique=True)
    client: str
    address: str
    user_id: str
    expires_at: int = Field(sa_type=BigInteger)


class IdentityRow(SQLModel, table=True):
    """The user that an identity provider means by a subject."""

    __tablename__ = "user_identity"
    issuer: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)


class OidcUsedRow(SQLModel, table=True):
    """A `state` that was used and must not be used again. Stored until it would have expired."""

    __tablename__ = "oidc_used"
    hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    expires_at: int = Field(sa_type=BigInteger)
