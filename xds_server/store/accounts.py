"""Users, sessions and links from a consistent view of the database; `writing` changes them."""

from __future__ import annotations

from dataclasses import dataclass

from xds_server.accounts.guesses import Attempts
from xds_server.accounts.links import Link
from xds_server.accounts.model import Membership, Role, Session, User
from xds_server.store.columns import Columns
from xds_server.store.connection import Snapshot

USER = Columns(User)
SESSION = Columns(Session)
LINK = Columns(Link)


@dataclass(frozen=True, slots=True)
class Account:
    """A user with what belongs to them; `own_keys` are ids of API keys."""

    user: User
    memberships: tuple[Membership, ...] = ()
    own_keys: frozenset[str] = frozenset()


def has_users(snapshot: Snapshot) -> bool:
    """Returns whether anybody can sign in."""
    return bool(snapshot.rows("SELECT 1 FROM user_account LIMIT 1"))


def user_of_email(snapshot: Snapshot, email: str) -> User | None:
    rows = snapshot.rows(f"SELECT {USER.select()} FROM user_account WHERE email = ?", email)  # noqa: S608
    return USER.decode(rows[0]) if rows else None


def account(snapshot: Snapshot, user_id: str) -> Account | None:
    """None for a user who is not there."""
    rows = snapshot.rows(f"SELECT {USER.select()} FROM user_account WHERE id = ?", user_id)  # noqa: S608
    if not rows:
        return None
    own = snapshot.rows("SELECT key_id FROM key_owner WHERE user_id = ?", user_id)
    return Account(USER.decode(rows[0]), memberships(snapshot, user_id), frozenset(id_ for (id_,) in own))


def memberships(snapshot: Snapshot, user_id: str) -> tuple[Membership, ...]:
    """By the organisations' names."""
    rows = snapshot.rows(
        "SELECT o.id, o.name, m.role FROM organisation_member m JOIN organisation o ON o.id = m.organisation_id "
        "WHERE m.user_id = ? ORDER BY o.name",
        user_id,
    )
    return tuple(Membership(id_, name, Role(role)) for id_, name, role in rows)


def session(snapshot: Snapshot, hash_: bytes) -> Session | None:
    rows = snapshot.rows(f"SELECT {SESSION.select()} FROM user_session WHERE hash = ?", hash_)  # noqa: S608
    return SESSION.decode(rows[0]) if rows else None


def attempts(snapshot: Snapshot, subject: str) -> Attempts:
    """Of a subject as accounts.guesses names it."""
    rows = snapshot.rows("SELECT count, last_at FROM sign_in_guess WHERE subject = ?", subject)
    return Attempts(*rows[0]) if rows else Attempts()
