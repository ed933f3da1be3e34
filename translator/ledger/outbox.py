"""The records on their way to the control plane, and the position in the log up to which it has them all. No I/O.

Bounded: what does not fit stays in the log, and is read from there again when there is room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

import msgspec
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from translator.ledger import records
from translator.ledger.lines import RequestLine
from translator.ledger.records import Bill
from translator.ledger.rows import Row
from translator.ledger.segments import LogPosition
from translator.limits import Reservation

#: Most records in memory; about 1 KB each.
CAPACITY = 2_000
#: Most expired reservations in memory; there are many only if Envoys are killed under load again and again.
_MAX_EXPIRED = 20_000


class _Waiting(msgspec.Struct, gc=False):
    """A record. `start` is where its line begins, file and offset as in `LogPosition`."""

    id: str
    record: Row | ledger.UsageRecord
    start: tuple[int, int]
    done: bool = False


class Outbox:
    """Takes the lines of the log in order, each once, and returns records until they are acknowledged."""

    def __init__(self, next_position: LogPosition) -> None:
        #: The position of the next line to take.
        self.next = next_position
        self._waiting: deque[_Waiting] = deque()
        #: Records of expired reservations. They are not in the log; the snapshot has them until they are
        #: acknowledged.
        self.expired: dict[str, ledger.UsageRecord] = {}
        self.shipped = 0
        #: Records of expired reservations that were dropped for lack of room.
        self.dropped = 0
        #: Called when a record arrives and there were none of its kind.
        self.on_filled: Callable[[], object] = lambda: None

    @property
    def room(self) -> int:
        """The number of further records that fit."""
        return CAPACITY - len(self._waiting)

    @property
    def pending(self) -> int:
        """The number of records in memory; the log may have more."""
        return len(self._waiting) + len(self.expired)

    @property
    def acknowledged(self) -> LogPosition:
        """The position before which the control plane has the records of all lines."""
        return LogPosition(*self._waiting[0].start) if self._waiting else self.next

    def take(self, line: RequestLine, reservation: Reservation, billed: Bill, start: tuple[int, int]) -> None:
        """Takes the line at `start`, which equals `next`."""
        if not self._waiting:
            self.on_filled()
        self._waiting.append(_Waiting(reservation.id, records.record(line, reservation, billed), start))

    def expire(self, record: ledger.UsageRecord) -> None:
        """Takes a record that has no line."""
        if len(self.expired) >= _MAX_EXPIRED:
            self.dropped += 1
            return
        if not self.expired:
            self.on_filled()
        self.expired[record.id] = record

    def batch(self, most: int) -> list[Row | ledger.UsageRecord]:
        """Returns the oldest records, up to `most`; they stay until they are acknowledged."""
        chosen: list[Row | ledger.UsageRecord] = list(islice(self.expired.values(), most))
        for waiting in self._waiting:
            if len(chosen) >= most:
                break
            if not waiting.done:
                chosen.append(waiting.record)
        return chosen

    def acknowledge(self, ids: Iterable[str]) -> None:
        """Removes the records with these ids. Unknown ids are ignored."""
        known = set(ids)
        for each in known.intersection(self.expired):
            del self.expired[each]
            self.shipped += 1
        held = self._waiting
        # Nearly always, those of a batch, which are the oldest, and all of them.
        while known and held and held[0].id in known:
            known.discard(held.popleft().id)
            self.shipped += 1
        for waiting in held if known else ():
            if not waiting.done and waiting.id in known:
                known.discard(waiting.id)
                waiting.done = True
                self.shipped += 1
        while held and held[0].done:
            held.popleft()
