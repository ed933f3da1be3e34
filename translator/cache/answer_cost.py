"""The cost of a cached answer, which every client that gets it again saves."""

from __future__ import annotations

from translator.checks.frames import Passed
from translator.ledger import records
from translator.ledger.lines import RequestLine, attempted
from translator.ledger.prices import PriceBook
from translator.limits import Reservation


class AnswerCost:
    """Computes costs by the prices of the targets."""

    def __init__(self, prices: PriceBook) -> None:
        self._prices = prices

    def of(self, reservation: Reservation, passed: Passed) -> int:
        """Returns what the request with this `reservation` is billed for this answer, in nano-USD."""
        target, credential = attempted(passed.target)
        line = RequestLine(
            reservation=reservation,
            target=target,
            node="",
            failed="",
            attempts=1,
            status=200,
            flags="",
            # No plausibility bound here: the answer's own line in the log bounds what is billed.
            bytes_in=reservation.prompt,
            bytes_out=len(passed.body),
            first_byte_us=0,
            duration_ms=0,
            usage=passed.report.decode("utf-8", "replace") or None,
            events=None,
            event_bytes=0,
            credential_index=credential,
        )
        return records.bill(line, reservation, self._prices).cost
