"""Which records can be stored, and the reasons given for the others."""

from __future__ import annotations

from typing import Any

import pytest
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.xds_server.ledger.usage import batch, usage
from xds_server.errors import InvalidFieldError
from xds_server.ledger import checking

FAILED = [
    pb.FailedAttempt(target_id="azure/gpt", status=429, reason="é,UF"),
    pb.FailedAttempt(target_id="", status=0, reason="UT"),
]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id": ""}, "id: missing"),
        ({"organisation_id": ""}, "organisation_id: missing"),
        ({"format": 2}, "format: 2 is not known; accepted: 1"),
        ({"model": "m" * 513}, "model: accepted: at most 512 characters"),
        ({"key_id": "a\x00b"}, "key_id: accepted: at most 128 characters, none of them NUL"),
        ({"cost_nano_usd": 10**13 + 1}, "cost_nano_usd: 10000000000001 is out of range"),
        ({"prompt_tokens": 2**64 - 1}, "prompt_tokens: 18446744073709551615 is out of range"),
        ({"status": 1000}, "status: 1000 is out of range"),
        ({"at": 0}, "started_at_us: accepted: Unix microseconds, from 1 to"),
        ({"at": -1}, "started_at_us: accepted:"),
        ({"at": 253_402_300_800}, "started_at_us: accepted:"),
        ({"failed_attempts": FAILED * 33}, "failed_attempts: 66 items; accepted: at most 64"),
        ({"failed_attempts": [pb.FailedAttempt(reason="r" * 513)]}, "failed_attempts: accepted:"),
        (
            {"failed_attempts": [pb.FailedAttempt(credential_index=1_001)]},
            "failed_attempts: credential_index 1001",
        ),
        ({"credential_index": 1_001}, "credential_index: "),
    ],
)
def test_a_bad_record_is_named_and_costs_no_other(fields: dict[str, Any], said: str) -> None:
    bad, good = usage(**fields), [usage(), usage(failed_attempts=FAILED)]
    found = checking.sort_out([good[0], bad, good[1], usage(id="")])
    assert [f"{each.field}: {each.reason}" for each in found.refused if each.record is not bad] == ["id: missing"]
    (told,) = [f"{each.field}: {each.reason}" for each in found.refused if each.record is bad]
    assert told.startswith(said)
    assert (found.messages, found.columns["id"]) == (good, [each.id for each in good])


def test_nothing_is_left_of_a_batch_of_bad_records() -> None:
    found = checking.sort_out([usage(id=""), usage(format=0)])
    assert (found.messages, found.columns, len(found.refused)) == ([], {}, 2)


def test_a_call_is_bounded() -> None:
    checking.check_request(batch(*[usage()] * 1_000))
    with pytest.raises(InvalidFieldError, match="1001 items; accepted: at most 1,000"):
        checking.check_request(batch(*[usage()] * 1_001))
    with pytest.raises(InvalidFieldError, match="at most 128 characters"):
        checking.check_request(pb.AppendRequest(source="s" * 129))


def test_what_is_unusual_is_looked_at_and_taken() -> None:
    """A record with the longest texts and the largest numbers allowed is accepted."""
    unusual = usage(model="é" * 512, cost_nano_usd=10**13, failed_attempts=FAILED)
    _, columns, refused = checking.sort_out([usage(), unusual])
    assert refused == []
    assert columns["failed_attempts"] == [(), [("azure/gpt", 429, "é,UF", 0, 0), ("", 0, "UT", 0, 0)]]
    assert columns["cost_nano_usd"] == (600_000, 10**13)
