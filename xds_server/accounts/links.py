"""Single-use links: for setting up a gateway, for an invitation, for a new password."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import quote

_DAY = 86_400


class Purpose(StrEnum):
    """The purpose of a link; the word also begins the fragment of its URL."""

    SETUP = "setup"
    INVITE = "invite"
    RESET = "reset"

    @property
    def another(self) -> str:
        """Says where to get another link."""
        return {
            Purpose.SETUP: "`trunkline users setup-link` prints another",
            Purpose.INVITE: "ask the person who invited you for another",
            Purpose.RESET: "ask an admin for another (`trunkline users reset`)",
        }[self]


#: Seconds: the default, and the maximum.
LIFETIMES = {
    Purpose.SETUP: (_DAY, 7 * _DAY),
    Purpose.INVITE: (7 * _DAY, 30 * _DAY),
    Purpose.RESET: (_DAY, 7 * _DAY),
}


@dataclass(frozen=True, slots=True)
class Link:
    """A link. `email`, `organisation_id`, `role` and `admin` belong to an invitation; `user_id` is the user whose
    password a reset replaces. `created_by` is the id of the user who made the link; empty: the installation.

    Times are Unix seconds; empty means none.
    """

    purpose: Purpose
    email: str = ""
    organisation_id: str = ""
    role: str = ""
    admin: bool = False
    user_id: str = ""
    id: str = ""
    created_at: int = 0
    created_by: str = ""
    expires_at: int = 0

    def made(self, id_: str, created_at: int, expires_at: int) -> Link:
        """Returns the link as it is stored."""
        return replace(self, id=id_, created_at=created_at, expires_at=expires_at)


def url(console: str, purpose: Purpose, value: str) -> str:
    """Returns the console's URL with the value in the fragment, which no server and no log ever sees."""
    return f"{console.rstrip('/')}/#{purpose.value}={quote(value, safe='')}"
