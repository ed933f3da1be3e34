"""How long sessions last. Rules without a clock."""

from __future__ import annotations

from dataclasses import dataclass

from xds_server.accounts.model import Session

#: The use of a session or token is written down at most so often, seconds.
NOTED_EVERY = 60


@dataclass(frozen=True, slots=True)
class Lifetime:
    """`idle` seconds without a call, and `absolute` seconds in any case, end a session."""

    idle: int = 12 * 3_600
    absolute: int = 7 * 86_400

    def is_alive(self, session: Session, now: int) -> bool:
        """Returns whether `session` still opens anything."""
        return now < session.expires_at and now < session.seen_at + self.idle

    @staticmethod
    def is_worth_noting(session: Session, now: int) -> bool:
        """Returns whether this use of the session is to be written down."""
        return now - session.seen_at >= NOTED_EVERY


DEFAULT = Lifetime()
