"""Reads users, sessions and links from a consistent view of the database; `writing` changes them."""

from __future__ import annotations

from dataclasses import dataclass

from xds_server.accounts import tokens
from xds_server.accounts.guesses import SignInAttempts
from xds_server.accounts.links import Link, Purpose
from xds_server.accounts.model import DeviceLogin, Membership, PersonalToken, Role, Session, User
from xds_server.store.columns import Columns
from xds_server.store.connection import DatabaseSnapshot

USER = Columns(User)
SESSION = Columns(Session)
LINK = Columns(Link)
PERSONAL_TOKEN = Columns(PersonalToken)
DEVICE_LOGIN = Columns(DeviceLogin)


@dataclass(frozen=True, slots=True)
class Account:
    """A user with their memberships; `own_keys` are ids of API keys."""

    user: User
    memberships: tuple[Membership, ...] = ()
    own_keys: frozenset[str] = frozenset()


def has_users(snapshot: DatabaseSnapshot) -> bool:
    """Returns whether there are any users."""
    return bool(snapshot.rows("SELECT 1 FROM user_account LIMIT 1"))


def user_of_email(snapshot: DatabaseSnapshot, email: str) -> User | None:
    """Returns the user of an address in lower case; None if there is none."""
    rows = snapshot.rows(f"SELECT {USER.select()} FROM user_account WHERE email = ?", email)  # noqa: S608
    return USER.decode(rows[0]) if rows else None


def account(snapshot: DatabaseSnapshot, user_id: str) -> Account | None:
    """Returns the account; None for a user that does not exist."""
    rows = snapshot.rows(f"SELECT {USER.select()} FROM user_account WHERE id = ?", user_id)  # noqa: S608
    if not rows:
        return None
    own = snapshot.rows("SELECT key_id FROM key_owner WHERE user_id = ?", user_id)
    return Account(USER.decode(rows[0]), memberships(snapshot, user_id), frozenset(id_ for (id_,) in own))


def memberships(snapshot: DatabaseSnapshot, user_id: str) -> tuple[Membership, ...]:
    """Returns the memberships by the organisations' names."""
    rows = snapshot.rows(
        "SELECT o.id, o.name, m.role FROM organisation_member m JOIN organisation o ON o.id = m.organisation_id "
        "WHERE m.user_id = ? ORDER BY o.name",
        user_id,
    )
    return tuple(Membership(id_, name, Role(role)) for id_, name, role in rows)


def users(snapshot: DatabaseSnapshot) -> list[Account]:
    """Returns every user, by e-mail address."""
    rows = snapshot.rows(f"SELECT {USER.select()} FROM user_account ORDER BY email")  # noqa: S608
    of_user: dict[str, list[Membership]] = {}
    for user_id, id_, name, role in snapshot.rows(
        "SELECT m.user_id, o.id, o.name, m.role FROM organisation_member m "
        "JOIN organisation o ON o.id = m.organisation_id ORDER BY o.name"
    ):
        of_user.setdefault(user_id, []).append(Membership(id_, name, Role(role)))
    found = map(USER.decode, rows)
    return [Account(each, tuple(of_user.get(each.id, ()))) for each in found]


def key_owners(snapshot: DatabaseSnapshot) -> dict[str, str]:
    """Returns the e-mail addresses of members by the ids of their own keys."""
    return dict(snapshot.rows("SELECT k.key_id, u.email FROM key_owner k JOIN user_account u ON u.id = k.user_id"))


def links(snapshot: DatabaseSnapshot, purpose: Purpose, now: int) -> list[Link]:
    """Returns the links that have not expired, oldest first."""
    rows = snapshot.rows(
        f"SELECT {LINK.select()} FROM account_link WHERE purpose = ? AND expires_at > ? "  # noqa: S608
        "ORDER BY created_at, id",
        purpose.value,
        now,
    )
    return [LINK.decode(row) for row in rows]


def link(snapshot: DatabaseSnapshot, value: str, now: int) -> Link | None:
    """Returns the link of a value, for any purpose; None if it is unknown or has expired."""
    rows = snapshot.rows(
        f"SELECT {LINK.select()} FROM account_link WHERE hash = ? AND expires_at > ?",  # noqa: S608
        tokens.hash_of(value),
        now,
    )
    return LINK.decode(rows[0]) if rows else None


def device_login(snapshot: DatabaseSnapshot, value: str) -> DeviceLogin | None:
    """Returns the sign-in of a program by its secret value; None if it is unknown."""
    rows = snapshot.rows(
        f"SELECT {DEVICE_LOGIN.select()} FROM device_login WHERE hash = ?",  # noqa: S608
        tokens.hash_of(value),
    )
    return DEVICE_LOGIN.decode(rows[0]) if rows else None


def organisation_names(snapshot: DatabaseSnapshot) -> dict[str, str]:
    """Returns the organisations' names by id."""
    return dict(snapshot.rows("SELECT id, name FROM organisation"))


def personal_token(snapshot: DatabaseSnapshot, hash_: bytes) -> PersonalToken | None:
    """Returns the token by the SHA-256 of its value; None if it is unknown."""
    rows = snapshot.rows(f"SELECT {PERSONAL_TOKEN.select()} FROM personal_token WHERE hash = ?", hash_)  # noqa: S608
    return PERSONAL_TOKEN.decode(rows[0]) if rows else None


def personal_tokens(snapshot: DatabaseSnapshot, user_id: str) -> list[PersonalToken]:
    """Returns the tokens, newest first."""
    rows = snapshot.rows(
        f"SELECT {PERSONAL_TOKEN.select()} FROM personal_token WHERE user_id = ? "  # noqa: S608
        "ORDER BY created_at DESC, id",
        user_id,
    )
    return [PERSONAL_TOKEN.decode(row) for row in rows]


def session(snapshot: DatabaseSnapshot, hash_: bytes) -> Session | None:
    """Returns the session by the SHA-256 of its cookie, even if it has expired; None if it is unknown."""
    rows = snapshot.rows(f"SELECT {SESSION.select()} FROM user_session WHERE hash = ?", hash_)  # noqa: S608
    return SESSION.decode(rows[0]) if rows else None


def attempts(snapshot: DatabaseSnapshot, subject: str) -> SignInAttempts:
    """Returns the attempts of a subject of accounts.guesses."""
    rows = snapshot.rows("SELECT count, last_at FROM sign_in_guess WHERE subject = ?", subject)
    return SignInAttempts(*rows[0]) if rows else SignInAttempts()
