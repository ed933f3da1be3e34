"""Changes sessions of browsers, and attempts to sign in. None of this is desired state or in the audit log."""

from __future__ import annotations

from collections.abc import Mapping

from sqlmodel import col, delete, select

from xds_server.accounts import guesses, tokens
from xds_server.accounts.model import Session, User
from xds_server.accounts.sessions import Lifetime
from xds_server.store import accounts
from xds_server.store.account_tables import GuessRow, SessionRow
from xds_server.store.writing.transaction import Transaction

#: Sessions of one user; beyond this the oldest ends.
_MAX = 50


def begin(transaction: Transaction, user: User, lifetime: Lifetime, *, instead_of: bytes = b"") -> str:
    """Returns the value of a new session. `instead_of` is the hash of the browser's previous session, which ends:
    a session that another party has put there is not taken over.
    """
    now = transaction.now
    value = tokens.new(tokens.TokenKind.SESSION)
    begun = Session(tokens.hash_of(value), user.id, now, now, now + lifetime.absolute)
    if instead_of:
        end(transaction, instead_of)
    _forget(transaction, user.id, lifetime)
    transaction.session.add(SessionRow(**accounts.SESSION.encode(begun)))
    return value


def note_use(transaction: Transaction, hash_: bytes) -> None:
    """Postpones the end of a session that is used."""
    row = transaction.session.get(SessionRow, hash_)
    if row is not None:
        row.seen_at = transaction.now
        transaction.session.add(row)


def end(transaction: Transaction, hash_: bytes) -> int:
    """Ends a session. Returns how many ended."""
    return transaction.session.exec(delete(SessionRow).where(col(SessionRow.hash) == hash_)).rowcount


def end_all(transaction: Transaction, user_id: str, *, but: bytes = b"") -> int:
    """Ends every session of a user, except the one with the hash `but`. Returns how many ended."""
    others = delete(SessionRow).where(col(SessionRow.user_id) == user_id, col(SessionRow.hash) != but)
    return transaction.session.exec(others).rowcount


def count_attempt(transaction: Transaction, subjects: Mapping[str, guesses.AttemptBound]) -> int:
    """Counts one more attempt of every subject, unless it is too early for one of them, so that refused attempts
    do not lengthen the waits of others. Returns the seconds to wait; 0: the attempt may be made.
    """
    now = transaction.now
    rows = {
        subject: transaction.session.get(GuessRow, subject) or GuessRow(subject=subject, count=0, last_at=0)
        for subject in subjects
    }
    known = {subject: guesses.SignInAttempts(row.count, row.last_at) for subject, row in rows.items()}
    wait = max(known[subject].remaining(bound, now) for subject, bound in subjects.items())
    if not wait:
        for subject, row in rows.items():
            row.count, row.last_at = known[subject].current(now) + 1, now
            transaction.session.add(row)
        long_ago = now - guesses.FORGOTTEN_AFTER
        transaction.session.exec(delete(GuessRow).where(col(GuessRow.last_at) < long_ago))
    return wait


def take_attempt_back(transaction: Transaction, subject: str) -> None:
    """Takes back an attempt that succeeded."""
    row = transaction.session.get(GuessRow, subject)
    if row is not None and row.count > 1:
        row.count -= 1
        transaction.session.add(row)
    elif row is not None:
        transaction.session.delete(row)


def forget_attempts(transaction: Transaction, subject: str) -> None:
    """Forgets all attempts: a person who knows the password has not guessed."""
    transaction.session.exec(delete(GuessRow).where(col(GuessRow.subject) == subject))


def _forget(transaction: Transaction, user_id: str, lifetime: Lifetime) -> None:
    now = transaction.now
    over = (col(SessionRow.expires_at) <= now) | (col(SessionRow.seen_at) <= now - lifetime.idle)
    transaction.session.exec(delete(SessionRow).where(over))
    rows = transaction.session.exec(
        select(SessionRow).where(SessionRow.user_id == user_id).order_by(col(SessionRow.seen_at).desc())
    ).all()
    for row in rows[_MAX - 1 :]:
        transaction.session.delete(row)
    transaction.session.flush()
