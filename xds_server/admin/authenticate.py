"""Identifies a caller by the value that it sends."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xds_server.accounts import tokens
from xds_server.accounts.caller import MACHINE, NOBODY, Caller
from xds_server.accounts.errors import SignInError
from xds_server.accounts.model import PersonalToken, Session
from xds_server.accounts.sessions import DEFAULT, NOTED_EVERY as _NOTED_EVERY, Lifetime
from xds_server.errors import UnauthenticatedError
from xds_server.store import AsyncStore, accounts, writing
from xds_server.store.accounts import Account
from xds_server.store.connection import DatabaseSnapshot

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

_SCHEME = "bearer "
_MIN_TOKEN = 16


class Authenticator:
    """Knows the admin token and, with a store, users' sessions and personal tokens."""

    def __init__(self, token: str, store: AsyncStore | None = None, lifetime: Lifetime = DEFAULT) -> None:
        if len(token) < _MIN_TOKEN:
            raise ValueError(f"the admin token needs {_MIN_TOKEN} characters or more")
        self._token = token.encode()
        self._store = store
        self._lifetime = lifetime
        self._noting: set[asyncio.Task[Any]] = set()

    def require_admin_token(self, metadata: Any) -> None:
        """Raises UnauthenticatedError for another token. The time that this takes reveals nothing about the
        token.
        """
        if not self._is_admin_token(_bearer(metadata)):
            raise _WRONG_TOKEN

    async def caller(self, metadata: Any) -> Caller:
        """Returns the caller. Raises UnauthenticatedError."""
        value = _bearer(metadata)
        if self._is_admin_token(value):
            return MACHINE
        kind = tokens.kind_of(value) if self._store is not None else None
        if self._store is not None and kind is tokens.TokenKind.SESSION:
            return await self._of_session(tokens.hash_of(value), self._store)
        if self._store is not None and kind is tokens.TokenKind.PERSONAL:
            return await self._of_personal_token(tokens.hash_of(value), self._store)
        raise _WRONG_TOKEN

    async def caller_if_any(self, metadata: Any) -> Caller:
        """Returns the caller, or NOBODY if the value is missing, wrong or expired: for calls that anybody may
        make.
        """
        try:
            return await self.caller(metadata)
        except UnauthenticatedError:
            return NOBODY

    def _is_admin_token(self, value: str) -> bool:
        return hmac.compare_digest(value.encode(), self._token)

    async def _of_session(self, hash_: bytes, store: AsyncStore) -> Caller:
        def read(snapshot: DatabaseSnapshot) -> tuple[Session, Account] | None:
            session = accounts.session(snapshot, hash_)
            account = accounts.account(snapshot, session.user_id) if session is not None else None
            return (session, account) if session is not None and account is not None else None

        found, now = await store.read(read), int(time.time())
        if found is None or found[1].user.disabled or not self._lifetime.is_alive(found[0], now):
            raise SignInError("this session has ended: sign in again")
        session, account = found
        if self._lifetime.is_worth_noting(session, now):
            self._note(store, lambda tx: writing.sessions.note_use(tx, hash_))
        return Caller(
            user=account.user,
            memberships=account.memberships,
            session_hash=hash_,
            expires_at=session.expires_at,
            own_keys=account.own_keys,
        )

    async def _of_personal_token(self, hash_: bytes, store: AsyncStore) -> Caller:
        def read(snapshot: DatabaseSnapshot) -> tuple[PersonalToken, Account] | None:
            token = accounts.personal_token(snapshot, hash_)
            account = accounts.account(snapshot, token.user_id) if token is not None else None
            return (token, account) if token is not None and account is not None else None

        found, now = await store.read(read), int(time.time())
        if found is None or found[1].user.disabled or found[0].expires_at <= now:
            raise SignInError("this personal token is unknown, was revoked or has expired: make another one")
        token, account = found
        if now - token.used_at >= _NOTED_EVERY:
            self._note(store, lambda tx: writing.personal_tokens.note_use(tx, token.id))
        return Caller(
            user=account.user,
            memberships=account.memberships,
            expires_at=token.expires_at,
            own_keys=account.own_keys,
        )

    def _note(self, store: AsyncStore, work: Callable[[Transaction], None]) -> None:
        """Records the use in the background, so that the call does not wait for the disk."""
        task = asyncio.create_task(store.write("use", work))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)


_WRONG_TOKEN = UnauthenticatedError(
    "this is neither a personal token nor the admin token, which is in credentials.json of the data directory"
)


def _bearer(metadata: Any) -> str:
    """Returns the bearer token. Raises UnauthenticatedError unless there is exactly one."""
    values = [value for name, value in metadata or () if name == "authorization"]
    if len(values) != 1 or not isinstance(values[0], str) or not values[0].lower().startswith(_SCHEME):
        raise UnauthenticatedError(
            "send the metadata `authorization: Bearer <token>` (once): a personal token, or the admin token, "
            "which is in credentials.json of the data directory"
        )
    return values[0][len(_SCHEME) :]
