"""The records on their way to the control plane, and the place in the log up to which it has them all. No I/O.

Bounded: what does not fit stays in the log, and is read from there again when there is room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from translator.ledger import records
from translator.ledger.lines import AttemptLine, RequestLine
from translator.ledger.records import Bill
from translator.ledger.segments import Position

#: Records held; about 1 KB each.
CAPACITY = 2_000
#: Expired reservations held; they come in numbers only when Envoys are killed under load again and again.
_MOST_EXPIRED = 20_000
#: Requests whose failed attempts are held until their own line comes; Envoy killed in between leaves some behind.
_MOST_PENDING = 2_000
#: Attempts of one request that are kept; routes retry far less.
_MOST_ATTEMPTS = 16


@dataclass(slots=True)
class _Attempt:
    at: Position
    message: ledger.FailedAttempt


@dataclass(slots=True)
class _Waiting:
    """`start` is where the record's line begins."""

    record: ledger.UsageRecord
    start: Position
    attempts: list[_Attempt]
    done: bool = False


class Outbox:
    """Takes the lines of the log in order, each once; gives records; is told what was acknowledged."""

    def __init__(self, next_position: Position, attempts: Iterable[list[Any]] = ()) -> None:
        self.next = next_position
        self._attempts: dict[str, list[_Attempt]] = {}
        for request_id, file, offset, target, status, reason in attempts:
            message = ledger.FailedAttempt(target_id=target, status=status, reason=reason)
            self._attempts.setdefault(request_id, []).append(_Attempt(Position(file, offset), message))
        self._waiting: deque[_Waiting] = deque()
        #: Expired reservations: not in the log, kept in the snapshot until they are acknowledged.
        self.expired: dict[str, ledger.UsageRecord] = {}
        self.shipped = 0
        #: Expired reservations that there was no room for.
        self.dropped = 0

    @property
    def room(self) -> bool:
        return len(self._waiting) < CAPACITY

    @property
    def pending(self) -> int:
        """Records held; there may be more in the log."""
        return len(self._waiting) + len(self.expired)

    @property
    def acknowledged(self) -> Position:
        """Every record whose line begins before it is with the control plane."""
        return self._waiting[0].start if self._waiting else self.next

    def take(
        self, line: RequestLine | AttemptLine | None, start: Position, end: Position, billed: Bill | None
    ) -> None:
        """The line at `next`, which moves to `end`. `billed` is given for a request that is recorded."""
        self.next = end
        if type(line) is AttemptLine:
            self._remember(line, start)
        elif type(line) is RequestLine and billed is not None:
            attempts = self._attempts.pop(line.id, []) if self._attempts else []
            record = records.record(line, billed, [each.message for each in attempts])
            self._waiting.append(_Waiting(record, start, attempts))

    def expire(self, record: ledger.UsageRecord) -> None:
        """Takes a record that no line stands for."""
        if len(self.expired) >= _MOST_EXPIRED:
            self.dropped += 1
            return
        self.expired[record.id] = record

    def batch(self, most: int) -> list[ledger.UsageRecord]:
        """The oldest records, up to `most`; they stay until they are acknowledged."""
        chosen = list(self.expired.values())[:most]
        for waiting in self._waiting:
            if len(chosen) >= most:
                break
            if not waiting.done:
                chosen.append(waiting.record)
        return chosen

    def acknowledge(self, ids: Iterable[str]) -> None:
        """Ids that are not held are ignored."""
        known = frozenset(ids)
        for each in known.intersection(self.expired):
            del self.expired[each]
            self.shipped += 1
        for waiting in self._waiting:
            if not waiting.done and waiting.record.id in known:
                waiting.done = True
                self.shipped += 1
        while self._waiting and self._waiting[0].done:
            self._waiting.popleft()

    def checkpoint(self) -> dict[str, Any]:
        """What a new Outbox needs to continue at `acknowledged`, as JSON values: with the attempts whose lines lie
        before it and whose request's line does not.
        """
        until = self.acknowledged
        attempts = [(key, each) for key, held in self._attempts.items() for each in held if each.at < until]
        for waiting in self._waiting:
            attempts += [(waiting.record.id, each) for each in waiting.attempts if each.at < until]
        return {
            "position": list(until),
            "attempts": [
                [key, *each.at, each.message.target_id, each.message.status, each.message.reason]
                for key, each in attempts
            ],
        }

    def _remember(self, line: AttemptLine, at: Position) -> None:
        held = self._attempts.setdefault(line.id, [])
        if len(held) < _MOST_ATTEMPTS:
            message = ledger.FailedAttempt(target_id=line.target, status=line.status, reason=line.reason)
            held.append(_Attempt(at, message))
        if len(self._attempts) > _MOST_PENDING:
            del self._attempts[next(iter(self._attempts))]
