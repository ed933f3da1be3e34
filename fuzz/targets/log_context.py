"""The log context in Envoy's log: what is read from it is written back unchanged."""

from __future__ import annotations

from urllib.parse import quote

from translator import log_context
from translator.limits import Reservation

UNDER_TEST = ("translator.log_context",)


def check(data: bytes) -> bool:
    """Checks that there is no log context, or one that a second writing and reading leaves unchanged."""
    # The reader of the log drops null characters too.
    reservation = log_context.read(data.decode("utf-8", "replace").replace("\0", ""))
    if reservation is None:
        return False
    again = log_context.read(_written(reservation, quote(reservation.model, safe="")))
    assert again is not None
    assert _written(again, "") == _written(reservation, "")
    return True


def _written(reservation: Reservation, model: str) -> str:
    whose = (reservation.organisation, reservation.key, reservation.route)
    return log_context.written(reservation, log_context.parties(*whose, model))
