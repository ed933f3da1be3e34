"""Decides how long sessions last. Rules without a clock."""

from __future__ import annotations

from dataclasses import dataclass

from xds_server.accounts.model import Session

#: Seconds between two times that the use of a session or token is stored.
NOTED_EVERY = 60


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A session ends after `idle` seconds without a call, and after `absolute` seconds in any case."""

    idle: int = 12 * 3_600
    absolute: int = 7 * 86_400

    def is_alive(self, session: Session, now: int) -> bool:
        """Returns whether `session` is still valid."""
        return now < session.expires_at and now < session.seen_at + self.idle

    @staticmethod
    def is_worth_noting(session: Session, now: int) -> bool:
        """Returns whether this use of the session should be stored."""
        return now - session.seen_at >= NOTED_EVERY


DEFAULT = Lifetime()
