"""Follows the log: every line is settled once and handed to the outbox once, mostly at the same moment.

There are two positions in the log. The head is where limits are settled; it is always near the end. The outbox's
`next` is where records are made; it equals the head as long as the control plane accepts what it is sent.
Otherwise the outbox fills up and stays behind, and the lines between the two are read again later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from translator import logs
from translator.ledger import lines, records
from translator.ledger.lines import RequestLine
from translator.ledger.outbox import Outbox
from translator.ledger.prices import PriceBook
from translator.ledger.reader import Lines, LogReader
from translator.ledger.records import Bill
from translator.ledger.segments import LogPosition, Segments
from translator.limits import Reservation

#: Bytes read at a time, some 40 lines: they are settled without a pause, and requests are waiting.
_STEP = 16 * 1024
_BUSY_DELAY = 0.05
_IDLE_DELAY = 0.25


class Settle(Protocol):
    """Replaces a reservation in the limits by what was billed."""

    def __call__(self, reservation: Reservation, billed: Bill) -> None:
        """Settles the request of `reservation`."""


class Observer(Protocol):
    """Observes every finished request once its line is settled."""

    def observe(self, line: RequestLine, reservation: Reservation, billed: Bill) -> None:
        """Observes a request whose usage was billed."""

    def observe_unbilled(self, line: RequestLine) -> None:
        """Observes a request without a reservation, such as a refused one."""


class SetAside(Protocol):
    """Stores a line of the log that cannot be processed."""

    def __call__(self, reason: str, *, line: str) -> None:
        """Stores `line` in full with the `reason`, so that it can be processed later."""


class Tail:
    """Follows the log.

    `reservation_of` reads a log context. `settle` is called for every line from `head` on, in order, and `at_end`
    whenever everything is read. `set_aside` gets a line that cannot be processed because of a defect of ours.
    """

    def __init__(
        self,
        segments: Segments,
        *,
        head: LogPosition,
        outbox: Outbox,
        prices: PriceBook,
        reservation_of: Callable[[str], Reservation | None],
        settle: Settle,
        at_end: Callable[[], None],
        set_aside: SetAside,
        observer: Observer,
        log: FilteringBoundLogger,
    ) -> None:
        self._segments = segments
        self._head = LogReader(segments, head)
        self._behind = LogReader(segments, outbox.next)
        self._outbox = outbox
        self._prices = prices
        self._reservation_of = reservation_of
        self._settle = settle
        self._at_end = at_end
        self._set_aside = set_aside
        self._observer = observer
        self._log = log
        self._failing = False
        self._is_at_end = False
        self.lines = 0
        self.skipped = 0
        self._ended_at = time.monotonic()

    @property
    def position(self) -> LogPosition:
        """The position before which every line is settled."""
        return self._head.position

    @property
    def in_current(self) -> bool:
        """True while the tail reads the file that Envoy writes to."""
        return self.position.file == self._segments.number

    def lag(self) -> float:
        """Returns the seconds since the log was read to its end."""
        return time.monotonic() - self._ended_at

    async def run(self) -> None:
        """Follows the log until it is cancelled."""
        delay = _BUSY_DELAY
        while True:
            try:
                read = self.step()
                self._failing = False
            except OSError as error:
                read = False
                if not self._failing:
                    self._failing = True
                    self._log.error("the access log cannot be read", reason=error.strerror)
            delay = _BUSY_DELAY if read else min(delay * 1.5, _IDLE_DELAY)
            # There is more to read; lets other tasks run.
            await asyncio.sleep(0 if read and (self._is_behind or not self._is_at_end) else delay)

    def step(self) -> bool:
        """Reads on at both positions. Returns whether there was anything. Raises OSError."""
        found = self._head.read(_STEP)
        self._take(found)
        caught_up = self._catch_up()
        self._is_at_end = found.end == found.start and self._head.is_last
        if self._is_at_end:
            self._ended_at = time.monotonic()
            self._at_end()
        return caught_up or found.end != found.start

    @property
    def _is_behind(self) -> bool:
        """Returns whether there are lines to make records of, and the outbox has room for them."""
        return self._outbox.room > 0 and self._outbox.next < self._head.position

    def close(self) -> None:
        self._head.close()
        self._behind.close()

    def _take(self, found: Lines) -> None:
        outbox = self._outbox
        file, offset = found.start
        follows, room = False, outbox.room
        for raw in found.lines:
            start, offset = offset, offset + len(raw) + 1
            follows = follows or outbox.next == (file, start)
            if follows and not room:
                outbox.next, follows = LogPosition(file, start), False
            line = lines.parse(raw, self._reservation_of)
            if line is None:
                self._skip(len(raw))
            elif line.reservation is not None:
                self._account(raw, line, line.reservation, (file, start) if follows else None)
                room -= follows
            else:
                self._observer.observe_unbilled(line)
        if follows or outbox.next == (file, offset):
            outbox.next = found.end
        self.lines += len(found.lines)
        self._skip(found.skipped)

    def _catch_up(self) -> bool:
        """Makes records of lines that are settled already. Returns whether there were any."""
        outbox = self._outbox
        if not self._is_behind:
            return False
        self._behind.seek(outbox.next)
        found = self._behind.read(_STEP)
        file, offset = found.start
        for raw in found.lines:
            if not outbox.room:
                outbox.next = LogPosition(file, offset)
                return True
            start, offset = offset, offset + len(raw) + 1
            line = lines.parse(raw)
            if line is not None and line.reservation is not None:
                self._account(raw, line, line.reservation, (file, start), _settled_before)
        outbox.next = found.end
        return found.end != found.start

    def _account(
        self,
        raw: bytes,
        line: RequestLine,
        reservation: Reservation,
        start: tuple[int, int] | None,
        settle: Settle | None = None,
    ) -> None:
        """Settles a line, and hands it to the outbox if that is at its `start`.

        A defect of ours costs one line; if it ended the process, the process would meet the same line again for
        ever.
        """
        try:
            billed = records.bill(line, reservation, self._prices)
            try:
                (settle or self._settle)(reservation, billed)
            finally:
                if start is not None:
                    self._outbox.take(line, reservation, billed, start)
            if settle is None:
                self._observer.observe(line, reservation, billed)
        except Exception as error:  # noqa: BLE001 - no error may affect the next line
            self.skipped += 1
            self._log.error("defect", error=type(error).__name__, places=logs.places(error.__traceback__))
            self._set_aside(f"defect: {type(error).__name__}", line=raw.decode("utf-8", "replace"))

    def _skip(self, length: int) -> None:
        if length:
            self.skipped += 1
            # The error's text may contain anything, so it is not logged.
            self._log.error("part of the access log is not readable", bytes=length, skipped=self.skipped)


def _settled_before(reservation: Reservation, billed: Bill) -> None:
    """Does nothing: the head settled this line."""
