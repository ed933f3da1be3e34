"""The caller of the running call. The server's guard sets it; everything below reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from xds_server.accounts.model import Membership, Role, User
from xds_server.usage.scope import Within


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller: the admin token (`machine`), a user, or nobody.

    `session_hash` is the hash of the browser's session, empty for a personal token. `expires_at` is Unix seconds,
    0 for never.
    """

    machine: bool = False
    user: User | None = None
    memberships: tuple[Membership, ...] = ()
    session_hash: bytes = field(default=b"", repr=False)
    expires_at: int = 0
    #: Ids of the API keys that are the user's own.
    own_keys: frozenset[str] = frozenset()

    @property
    def is_admin(self) -> bool:
        """Returns whether every organisation is open to the caller."""
        return self.machine or (self.user is not None and self.user.admin)

    @property
    def is_somebody(self) -> bool:
        """True for the admin token and for users, False without either."""
        return self.machine or self.user is not None

    def role_in(self, organisation: str) -> Role | None:
        """Returns the role in an organisation, given by name; an admin has the role of an owner."""
        if self.is_admin:
            return Role.OWNER
        return next((each.role for each in self.memberships if each.organisation == organisation), None)

    def sees(self, organisation: str, key_id: str) -> bool:
        """Returns whether the caller may read what belongs to a key (empty: to no key) of an organisation, given
        by name.
        """
        role = self.role_in(organisation)
        return role is not None and (role is not Role.MEMBER or key_id in self.own_keys)

    def changes(self, organisation: str, key_id: str) -> bool:
        """Returns whether the caller may change what belongs to a key of an organisation; the arguments are those
        of `sees`.
        """
        return self.role_in(organisation) is not Role.VIEWER and self.sees(organisation, key_id)

    @property
    def reads(self) -> Within | None:
        """Returns what the caller may read of the ledger; None: everything."""
        if self.is_admin:
            return None
        whole = [each.organisation_id for each in self.memberships if each.role is not Role.MEMBER]
        own = self.own_keys if any(each.role is Role.MEMBER for each in self.memberships) else ()
        return Within(tuple(whole), tuple(sorted(own)))

    @property
    def user_id(self) -> str:
        """Returns the user's id; empty for the admin token."""
        return self.user.id if self.user is not None else ""

    @property
    def actor(self) -> str:
        """Returns the caller as the audit log shows it."""
        return f"user:{self.user.email}" if self.user is not None else "admin"


NOBODY = Caller()
MACHINE = Caller(machine=True)

_current: ContextVar[Caller] = ContextVar("caller", default=NOBODY)


def current() -> Caller:
    """Returns the caller of the running call; NOBODY outside a call."""
    return _current.get()


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """Makes `caller` the current one inside the block."""
    token = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(token)
