"""Joins the lines of the log with the reservations, and expires reservations that will never have a line."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from msgspec.structs import astuple
from structlog.typing import FilteringBoundLogger

from translator import log_context
from translator.ledger import records
from translator.ledger.journal import Journal
from translator.ledger.outbox import Outbox
from translator.ledger.records import Bill
from translator.limits import Reservation, legacy

#: The first field of the journal's entries: a reservation, the end of its request, the expiry of a reservation
#: without a line, and a price.
RESERVED = "n"
ENDED = "e"
EXPIRED = "x"
PRICED = "p"
#: A reservation of an earlier version, in micro-USD.
_RESERVED_MICRO = "r"
#: Expired reservations that are remembered in case their lines appear later.
_MAX_LATE = 10_000


class SettledLimits(Protocol):
    """The limits, in which requests are settled."""

    def settle(self, request_id: str, tokens: int, cost: int) -> bool:
        """Replaces the reserved amounts by the used ones. Returns False if no such reservation is outstanding."""

    def settle_unknown(self, reservation: Reservation, tokens: int, cost: int) -> None:
        """Counts usage without a known reservation: the journal could not be written, or was lost."""

    def expire(self, request_id: str) -> bool:
        """Counts the reserved amounts as used. Returns False if no such reservation is outstanding."""

    def end(self, request_id: str) -> bool:
        """Frees the request's concurrent places. Returns False if it holds none."""


class Settlement:
    """The outstanding reservations, in the order in which they were made. `clock` gives Unix seconds."""

    def __init__(
        self,
        limits: SettledLimits,
        journal: Journal,
        outbox: Outbox,
        *,
        expire_after: float,
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limits = limits
        self._journal = journal
        self._outbox = outbox
        self._expire_after = expire_after
        self._log = log
        self._clock = clock
        self._outstanding: OrderedDict[str, Reservation] = OrderedDict()
        self._late: OrderedDict[str, None] = OrderedDict()
        self._gone_before = 0.0
        self.expired = 0
        self.unknown = 0
        #: Requests whose target claimed more than is plausible.
        self.capped = 0

    @property
    def outstanding(self) -> int:
        """The number of reservations without a line."""
        return len(self._outstanding)

    @property
    def reservations(self) -> list[Reservation]:
        """The outstanding reservations, oldest first."""
        return list(self._outstanding.values())

    @property
    def late(self) -> list[str]:
        """The ids of expired reservations, oldest first."""
        return list(self._late)

    def restore(self, outstanding: Iterable[Reservation], late: Iterable[str]) -> None:
        """Takes the outstanding and the expired reservations of a snapshot."""
        self._outstanding = OrderedDict((each.id, each) for each in outstanding)
        self._late = OrderedDict.fromkeys(late)

    def reserved(self, reservation: Reservation) -> None:
        """Takes a reservation. The journal's next flush, which comes before Envoy's answer, writes it."""
        self._outstanding[reservation.id] = reservation
        self._journal.gather([RESERVED, *astuple(reservation)])

    def ended(self, request_id: str) -> None:
        """Takes the end of a request, which frees its concurrent places. The journal's next flush writes it."""
        self._journal.gather([ENDED, request_id])

    def replay(self, entry: list[Any]) -> Reservation | None:
        """Takes an entry of the journal. Returns its reservation, if it has one, which the limits take back."""
        kind, *values = entry
        if kind == EXPIRED:
            self._expire(values[0])
        elif kind == ENDED:
            self._limits.end(values[0])
        elif kind in {RESERVED, _RESERVED_MICRO}:
            reservation = Reservation.of(legacy.reservation(values) if kind == _RESERVED_MICRO else values)
            self._outstanding[reservation.id] = reservation
            return reservation
        return None

    def reservation_of(self, context: str) -> Reservation | None:
        """Returns the reservation that a line's log context describes; None if the text is not a log context.

        The log context was written from the reservation with its id, so it need not be read while that is
        outstanding.
        """
        known = self._outstanding.get(context.partition(" ")[0])
        return known if known is not None else log_context.read(context)

    def settle(self, reservation: Reservation, billed: Bill) -> None:
        """Settles a request that ended. `reservation` is the one in its line of the log; called once per line."""
        request_id, used = reservation.id, billed.tokens
        tokens = used.prompt + used.completion
        if used.capped:
            self.capped += 1
        if self._outstanding.pop(request_id, None) is not None:
            self._limits.settle(request_id, tokens, billed.cost)
        elif request_id in self._late:
            del self._late[request_id]  # the reserved amounts have been counted
        else:
            self.unknown += 1
            self._limits.settle_unknown(reservation, tokens, billed.cost)

    def envoy_started(self, at: float) -> None:
        """Takes the moment (Unix seconds) before which no running request began, see `EnvoyAdmin.watch`."""
        self._gone_before = max(self._gone_before, at)

    def log_read(self) -> None:
        """Expires the reservations that have waited too long for a line, now that the log has been read to its
        end.
        """
        until = max(self._clock() - self._expire_after, self._gone_before)
        while self._outstanding:
            oldest = next(iter(self._outstanding.values()))
            if oldest.at >= until:
                return
            self._journal.append([EXPIRED, oldest.id])
            self._expire(oldest.id)

    def _expire(self, request_id: str) -> None:
        reservation = self._outstanding.pop(request_id, None)
        if reservation is None:
            return
        self._limits.expire(request_id)
        self.expired += 1
        self._late[request_id] = None
        if len(self._late) > _MAX_LATE:
            self._late.popitem(last=False)
        self._outbox.expire(records.expired(reservation))
