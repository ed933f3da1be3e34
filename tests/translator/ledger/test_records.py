"""Usage records of lines in Envoy's access log."""

from __future__ import annotations

import pytest

from tests.translator.ledger.writing import request_line
from translator.ledger import lines
from translator.ledger.prices import PriceBook
from translator.ledger.records import bill, record
from translator.ledger.rows import as_message


@pytest.mark.parametrize(
    ("failed", "attempts", "status", "kept"),
    [
        ("other/gpt=401:5", 1, 502, 401),  # the client does not get what concerns the gateway
        ("other/gpt=503:5 x/b=404:5", 2, 502, 404),
        ("other/gpt=429:5", 1, 429, 0),  # the client got the target's
        ("other/gpt=401:5", 2, 200, 0),  # the second attempt was served
        ("other/gpt=0:5", 1, 503, 0),
        ("cancelled", 1, 200, 0),
    ],
)
def test_the_last_target_s_status(failed: str, attempts: int, status: int, kept: int) -> None:
    line = lines.parse(request_line("a", failed=failed, attempts=attempts, status=status).rstrip())
    assert line is not None
    assert line.reservation is not None
    made = record(line, line.reservation, bill(line, line.reservation, PriceBook()))
    assert as_message(made).target_status == kept
    assert len(as_message(made).failed_attempts) == min(attempts - 1, failed.count("="))
