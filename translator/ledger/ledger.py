"""The write-ahead ledger of one edge: what is written when, and why being killed at any point loses nothing.

Four things are on disk: Envoy's `access.log`; the journal `reservations.log`; `limits.snapshot`, which has the
state of the limits and the prices together with a position in each of the two logs; and `checkpoint`, the position
in the access log up to which the control plane has the records. A request passes these steps in order:

1. reserve in memory → 2. append to the journal → 3. answer Envoy → 4. Envoy's line → 5. settle in memory →
6. ship → 7. acknowledged → 8. checkpoint; independently, now and then, 9. snapshot → 10. delete what both are
past.

A new process loads the snapshot, replays the journal after the snapshot's position in it, and settles the lines
after the snapshot's position in the access log. So if the process is killed

- before 2, which may be one write for several requests: Envoy has no answer to any of them and has served nothing.
  Nothing is on disk and nothing is lost.
- between 2 and 3: the journal has a reservation that no request will settle; it expires. The limits and the ledger
  count one reservation too many, which is marked. Any other order could count too little.
- between 3 and 5: the reservation comes from the journal, and its line, which nobody has settled, from the log.
- after 5, before 9: the memory in which it was settled is gone and the snapshot has nothing of it. It is reserved
  and settled again, once, from the same two entries.
- during 9: the snapshot begins between two events of one thread, and what changes until it is complete is copied
  first. So its state and its two positions are of the same moment. The file is replaced as a whole: either the old
  one counts or the new one.
- between 6 and 8: the records after the checkpoint are sent again; the control plane recognises them by their ids.
  A record is made of a line and of the price at its start. That price is in the snapshot, also after it was
  replaced, and before that in the journal, because prices are written there before a request is let through under
  them. So it is the same record.
- between 9 and 10, or during 10: files that are no longer needed are deleted later.

Either the snapshot or the checkpoint may be the older one: the tail's head begins at the snapshot's position in
the log, and the outbox at the checkpoint's.

Envoy's module reports the end of a request ahead of its line. That frees the request's concurrent places and
nothing else. It is in the journal too. If it is lost, the line frees the places.

A reservation without a line expires (see `Settlement.log_read`): first in the journal, so that a new process
expires it too, then in the limits, which count it as used, and into a record that the snapshot holds until it is
acknowledged. If its line appears later, as for a stream that ran longer, the limits stay as they are and its
record is shipped under the same id; the control plane decides which counts.

When the disk is full, Envoy's lines are lost silently. The limits do not depend on them: what was reserved stays
reserved until it expires as used. Memory is bounded by `outbox.CAPACITY` records and by the reservations of the
last `reservation_expiry` seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger

from translator import late_imports
from translator.errors import LimitError
from translator.ledger import durable, settlement
from translator.ledger.disk import DiskState, DiskWatch
from translator.ledger.envoy_admin import EnvoyAdmin
from translator.ledger.journal import Journal
from translator.ledger.outbox import Outbox
from translator.ledger.prices import PriceBook, VersionedPrice
from translator.ledger.quarantine import Quarantine
from translator.ledger.request_histograms import RequestHistograms
from translator.ledger.segments import Segments
from translator.ledger.settlement import Settlement
from translator.ledger.state import LedgerSnapshot, encode_checkpoint, encode_part, load_checkpoint
from translator.ledger.tail import Tail
from translator.limits import Reservation
from translator.metrics import Sample
from translator.settings import Settings

LOG_NAME = "access"
#: Seconds between two rounds that check the disk, the sizes of files and what is to be stored.
_ROUND = 1.0
#: Bytes at which the journal begins a new file, at the next snapshot.
_JOURNAL_ROTATION = 8 * 1024 * 1024


class RecoverableLimits(settlement.SettledLimits, Protocol):
    """The limits, whose state the ledger stores and recovers."""

    @property
    def reservations(self) -> list[Reservation]:
        """The outstanding reservations, oldest first."""

    def snapshot(self) -> AbstractContextManager[Iterator[dict[str, Any]]]:
        """Gives the state at this moment as JSON values in parts. Other work may run between two parts."""

    def restore(self, parts: Iterable[Mapping[str, Any]]) -> None:
        """Replaces the state by the parts of a snapshot. Raises LimitError."""

    def replay(self, reservation: Reservation) -> None:
        """Takes back an earlier reservation without checking the limits. Raises LimitError."""


class Ledger:
    """The ledger. Creating it recovers the state, before the first request; `run` then follows the log.

    `prices` follows the policy and gets back what it remembered. `clock` gives Unix seconds. Raises OSError if the
    directory cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        limits: RecoverableLimits,
        prices: PriceBook,
        log: FilteringBoundLogger,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._log = log
        directory = settings.ledger_dir
        self._snapshot_path = directory / "limits.snapshot"
        self._checkpoint_path = directory / "checkpoint"
        for left_over in directory.glob(".*"):
            left_over.unlink()  # a replacement that did not finish
        checkpoint = load_checkpoint(self._checkpoint_path, log)
        snapshot = LedgerSnapshot.load(self._snapshot_path, log) or LedgerSnapshot()
        self._stored_head, self._stored_outbox = snapshot.log, checkpoint
        self._stored_journal = snapshot.journal
        #: The numbers of journal and log before which all files are deleted.
        self._first_files = (0, 0)
        self._segments = Segments(directory, LOG_NAME, (snapshot.log, checkpoint))
        self._prices = prices
        self._outbox = Outbox(checkpoint)
        self._quarantine = Quarantine(directory, log)
        self._journal = Journal(directory, snapshot.journal, log)
        self._settlement = Settlement(
            limits,
            self._journal,
            self._outbox,
            expire_after=settings.reservation_expiry,
            log=log,
            clock=clock,
        )
        self._recover(snapshot)
        #: Histograms of the requests that this process has settled.
        self.requests = RequestHistograms()
        self._tail = Tail(
            self._segments,
            head=snapshot.log,
            outbox=self._outbox,
            prices=prices,
            reservation_of=self._settlement.reservation_of,
            settle=self._settlement.settle,
            at_end=self._settlement.log_read,
            set_aside=self._quarantine.add,
            observer=self.requests,
            log=log,
        )
        self._disk = DiskWatch(directory, settings.disk_low, settings.disk_full, log)
        self._envoy = EnvoyAdmin(settings.envoy_admin_socket, log) if settings.envoy_admin_socket else None
        self._snapshot_due = 0.0
        self._failing = False
        #: These take a reservation and the end of a request. `flush` writes them down before Envoy is answered.
        self.reserved = self._settlement.reserved
        self.ended = self._settlement.ended
        self.flush = self._journal.flush
        self._refused: Callable[[], int] = lambda: 0

    def _recover(self, snapshot: LedgerSnapshot) -> None:
        try:
            self._limits.restore(snapshot.limits)
        except LimitError as error:
            self._log.error("ignored", file=self._snapshot_path.name, reason=str(error))
        self._settlement.restore(self._limits.reservations, snapshot.late)
        for record in snapshot.expired:
            self._outbox.expire(record)
        self._prices.restore(snapshot.prices)
        stored = {
            (route, target, VersionedPrice.restored(price))
            for route, targets in snapshot.prices.items()
            for target, prices in targets.items()
            for price in prices
        }
        replayed = 0
        for entry in self._journal.entries(snapshot.journal):
            replayed += 1
            try:
                if entry[0] == settlement.PRICED:
                    _, route, target, *price = entry
                    stored.add((route, target, VersionedPrice.restored(price)))
                    self._prices.take(route, target, VersionedPrice.restored(price))
                    continue
                reservation = self._settlement.replay(entry)
                if reservation is not None:
                    self._limits.replay(reservation)
            except (LimitError, ValueError, TypeError, IndexError):
                self._log.error("an entry of the journal could not be read")
        # Journal the prices of the policy on disk, which is replaced regardless of lines that are not settled yet.
        for known in self._prices.entries():
            if known not in stored:
                self._priced(*known)
        self._prices.on_change = self._priced
        self._log.info(
            "ledger recovered", replayed=replayed, outstanding=self._settlement.outstanding, log=list(snapshot.log)
        )

    def _priced(self, route: str, target: str, price: VersionedPrice) -> None:
        self._journal.append([settlement.PRICED, route, target, *price.fields])

    @property
    def outstanding(self) -> list[Reservation]:
        """Reservations that are neither settled nor expired, oldest first."""
        return self._settlement.reservations

    async def run(self) -> None:
        """Follows the log and ships records until it is cancelled; then call `close`."""
        self._check_disk()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tail.run(), name="tail")
            tasks.create_task(self._maintain(), name="ledger files")
            tasks.create_task(self._ship(), name="shipper")
            if self._envoy is not None:
                tasks.create_task(self._envoy.watch(self._settlement.envoy_started), name="envoy")

    async def close(self) -> None:
        """Stores the snapshot and the checkpoint."""
        await self._store_snapshot()
        await self._store_checkpoint()
        self._tail.close()
        self._journal.close()

    def status(self) -> dict[str, str | int | float]:
        """Returns the values for `/readyz`."""
        return {
            "disk": self._disk.state.value,
            "disk_free_bytes": self._disk.free,
            "settle_lag_seconds": round(self._tail.lag(), 3),
            "reservations": self._settlement.outstanding,
            "records_pending": self._outbox.pending,
            "journal_errors": self._journal.errors,
        }

    def samples(self) -> Iterable[Sample]:
        """Yields the samples for `/metrics`."""
        prefix = "trunkline_translator_"
        counters = {
            "log_lines_total": ("Lines of the access log settled.", self._tail.lines),
            "log_skipped_total": ("Parts of the access log that could not be read.", self._tail.skipped),
            "records_shipped_total": ("Usage records acknowledged.", self._outbox.shipped),
            "records_refused_total": ("Usage records that the control plane refused.", self._refused()),
            "refused_lost_total": (
                "Refused usage records that could not be written to a file either.",
                self._quarantine.lost,
            ),
            "claims_capped_total": (
                "Usage claims of targets that were capped as implausible.",
                self._settlement.capped,
            ),
            "reservations_expired_total": (
                "Reservations that expired without a line in the log.",
                self._settlement.expired,
            ),
            "records_dropped_total": (
                "Records of expired reservations dropped because too many waited.",
                self._outbox.dropped,
            ),
            "reservations_unknown_total": ("Lines without a known reservation.", self._settlement.unknown),
            "journal_errors_total": ("Reservations that could not be journalled.", self._journal.errors),
        }
        for name, (text, value) in counters.items():
            yield Sample(prefix + name, "counter", text, value)
        gauges: dict[str, tuple[str, float]] = {
            "reservations": ("Reservations outstanding.", self._settlement.outstanding),
            "settle_lag_seconds": ("Seconds since the log was read to its end.", self._tail.lag()),
            "records_pending": ("Usage records in memory; the log may have more.", self._outbox.pending),
            "log_unshipped_bytes": ("Bytes of the log after the last acknowledged record.", self._unshipped()),
            "disk_free_bytes": ("Free bytes of the ledger's disk.", self._disk.free),
        }
        for name, (text, number) in gauges.items():
            yield Sample(prefix + name, "gauge", text, number)
        states = {each.value: float(each is self._disk.state) for each in DiskState}
        yield Sample(prefix + "disk_state", "gauge", "1 for the state of the ledger's disk.", states, "state")

    def _unshipped(self) -> int:
        """Returns bytes by the files' sizes; 0 if there are no files."""
        done, total = self._outbox.acknowledged, 0
        for number in range(done.file, self._segments.number + 1):
            with suppress(OSError):
                total += self._segments.path(number).stat().st_size
        return max(0, total - done.offset)

    async def _ship(self) -> None:
        await late_imports.load("translator.ledger.shipper")
        from translator.ledger.shipper import Shipper, channel  # noqa: PLC0415

        shipper = Shipper(
            self._outbox, self._quarantine, self._settings.id, self._settings.control_token, self._log
        )
        self._refused = lambda: shipper.refused
        async with channel(self._settings.control) as opened:
            await shipper.run(opened)

    async def _maintain(self) -> None:
        """Checks the disk, stores, rotates and deletes, once a round."""
        while True:
            await asyncio.sleep(min(_ROUND, self._settings.limits_interval))
            self._check_disk()
            await self._store_checkpoint()
            if time.monotonic() >= self._snapshot_due:
                self._snapshot_due = time.monotonic() + self._settings.limits_interval
                await self._store_snapshot()
            await self._rotate()
            await self._remove_files()

    def _check_disk(self) -> None:
        self._journal.suspended = self._disk.look() is DiskState.FULL

    async def _store_checkpoint(self) -> None:
        position = self._outbox.acknowledged
        if position == self._stored_outbox:
            return
        if await self._run_in_thread(durable.save, self._checkpoint_path, encode_checkpoint(position)):
            self._stored_outbox = position

    async def _store_snapshot(self) -> None:
        head = self._tail.position
        if (head, self._journal.position) == (self._stored_head, self._stored_journal):
            return
        if self._journal.position.offset >= _JOURNAL_ROTATION:
            with suppress(OSError):  # it grows until the next snapshot
                self._journal.rotate()
        # Everything must be of one moment: nothing is awaited until the limits have begun their snapshot.
        self.flush()
        journal = self._journal.position
        snapshot = LedgerSnapshot(
            journal=journal,
            log=head,
            prices=self._prices.dump(),
            late=self._settlement.late,
            expired=list(self._outbox.expired.values()),
        )
        encoded = []
        with self._limits.snapshot() as parts:
            for part in parts:
                encoded.append(encode_part(part))
                await asyncio.sleep(0)  # lets requests run
        if await self._run_in_thread(durable.save, self._snapshot_path, snapshot.encode(encoded)):
            self._stored_head, self._stored_journal = head, journal

    async def _rotate(self) -> None:
        """Renames the log when it is large, and has Envoy open a new one."""
        if self._envoy is None:
            return
        current = self._segments.current
        try:
            if current.stat().st_size < self._settings.log_rotation or not self._tail.in_current:
                return
            self._segments.rotate()
        except FileNotFoundError:
            if not self._segments.rotated():
                return  # Envoy has not written yet
        except OSError as error:
            self._log.error("the access log was not rotated", reason=error.strerror)
            return
        # This also covers a rename in an earlier round that Envoy has not followed.
        await self._envoy.reopen_logs()

    async def _remove_files(self) -> None:
        """Deletes files that everything stored is past."""
        first = self._stored_journal.file, min(self._stored_head.file, self._stored_outbox.file)
        if first != self._first_files and await self._run_in_thread(self._remove, *first):
            self._first_files = first

    def _remove(self, journal: int, log: int) -> None:
        """Deletes the files of journal and log with lower numbers. Raises OSError."""
        self._journal.forget(journal)
        self._segments.remove_before(log)

    async def _run_in_thread(self, work: Callable[..., object], *arguments: object) -> bool:
        """Runs `work` in a thread because fsync blocks. Returns whether it succeeded; logs only the first of a run
        of failures.
        """
        try:
            await asyncio.to_thread(work, *arguments)
        except OSError as error:
            if not self._failing:
                self._failing = True
                self._log.error("the ledger's state is not stored", reason=error.strerror)
            return False
        self._failing = False
        return True
