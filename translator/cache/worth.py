"""What an answer cost that is kept: what everybody saves who gets it again."""

from __future__ import annotations

from translator.checks.frames import Passed
from translator.ledger import records
from translator.ledger.lines import RequestLine, attempted
from translator.ledger.prices import PriceBook
from translator.limits import Reservation


class Worth:
    """By the prices of the targets."""

    def __init__(self, prices: PriceBook) -> None:
        self._prices = prices

    def of(self, held: Reservation, passed: Passed) -> int:
        """Returns nano-USD: what the request is billed that had reserved `held` and got this answer."""
        target, credential = attempted(passed.target)
        line = RequestLine(
            held=held,
            target=target,
            node="",
            failed="",
            attempts=1,
            status=200,
            flags="",
            # No bound of what is believed of the target: its own line in the log bounds what is billed.
            bytes_in=held.prompt,
            bytes_out=len(passed.body),
            first_byte_us=0,
            duration_ms=0,
            usage=passed.report.decode("utf-8", "replace") or None,
            events=None,
            event_bytes=0,
            credential_index=credential,
        )
        return records.bill(line, held, self._prices).cost
