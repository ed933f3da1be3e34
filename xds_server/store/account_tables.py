"""The SQL schema of accounts, beside that of the desired state (tables.py).

Times are Unix seconds, 0 = never; a `hash` is the SHA-256 of a value that is kept nowhere.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, Text
from sqlmodel import Field, SQLModel


class UserRow(SQLModel, table=True):
    """A person. `password_hash` is argon2id's, empty for one who signs in through an identity provider alone."""

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
    """That a user belongs to an organisation, and as what."""

    __tablename__ = "organisation_member"
    organisation_id: str = Field(primary_key=True, foreign_key="organisation.id", ondelete="CASCADE")
    user_id: str = Field(primary_key=True, foreign_key="user_account.id", ondelete="CASCADE", index=True)
    role: str


class KeyOwnerRow(SQLModel, table=True):
    """That an API key is a member's own."""

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
    """A link of one use: for setting up, for joining, for a new password.

    `user_id` is set for a new password, `email`, `organisation_id` (empty: none), `role` and `admin` for joining.
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
    expires_at: int = Field(sa_type=BigInteger)


class GuessRow(SQLModel, table=True):
    """Attempts to sign in, by what accounts.guesses names them."""

    __tablename__ = "sign_in_guess"
    subject: str = Field(primary_key=True)
    count: int
    last_at: int = Field(sa_type=BigInteger, index=True)


class PersonalTokenRow(SQLModel, table=True):
    """What a user's programs call with."""

    __tablename__ = "personal_token"
    id: str = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary, unique=True)
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    name: str
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)
    used_at: int = Field(sa_type=BigInteger)


class DeviceLoginRow(SQLModel, table=True):
    """A program that waits for somebody to approve it. `user_id` is who did; empty: nobody has decided."""

    __tablename__ = "device_login"
    hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    user_code: str = Field(unique=True)
    client: str
    address: str
    user_id: str
    expires_at: int = Field(sa_type=BigInteger)


class IdentityRow(SQLModel, table=True):
    """Whom an identity provider means by a subject."""

    __tablename__ = "user_identity"
    issuer: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)


class OidcUsedRow(SQLModel, table=True):
    """A `state` that has come back: it does not come again. Kept until it would have expired."""

    __tablename__ = "oidc_used"
    hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    expires_at: int = Field(sa_type=BigInteger)
