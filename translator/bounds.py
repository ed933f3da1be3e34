"""The largest values of a record. The control plane accepts no more, so nothing that a line, a target or a node
says may exceed them: a record that cannot be stored is a request that nobody pays for.

Texts and counts are bounded where a line is read (`lines`, `translator.log_context`), at almost no cost for an
ordinary line; the rest where the record is made.
"""

from __future__ import annotations

from msgspec.structs import replace

from translator import money
from translator.limits import Reservation

#: Bytes, tokens, microseconds, and every other count.
COUNT = 10**13
MILLISECONDS = COUNT // 1_000
ATTEMPTS = 1_000_000
STATUS = 999
#: Microseconds since 1970, to the end of the year 9999.
LAST_US = 253_402_300_799_999_999
FAILED_ATTEMPTS = 64
#: The highest index of a provider's credentials.
CREDENTIALS = 1_000

#: Characters.
ID = 128
TEXT = 512
UPSTREAM_ID = 256
TIER = 64


def text(value: str, most: int) -> str:
    """Returns at most `most` characters, without NUL, which PostgreSQL does not accept."""
    return value[:most].replace("\x00", "\ufffd")


def count(value: int, most: int = COUNT) -> int:
    """Returns the value, from 0 to `most`."""
    return min(max(0, value), most)


def bounded(reservation: Reservation) -> Reservation:
    """Returns the reservation within the bounds of a record. It may come from a damaged file."""
    return replace(
        reservation,
        id=text(reservation.id, ID),
        organisation=text(reservation.organisation, ID),
        key=text(reservation.key, ID),
        route=text(reservation.route, ID),
        model=text(reservation.model, TEXT),
        tokens=count(reservation.tokens),
        prompt=count(reservation.prompt),
        cost=count(reservation.cost, money.MAX),
    )
