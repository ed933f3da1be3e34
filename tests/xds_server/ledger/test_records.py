"""What of a record is accepted, and that it comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.xds_server.ledger.usage import MONDAY_10, batch, usage
from xds_server.errors import InvalidFieldError
from xds_server.ledger import records

FAILED = [pb.FailedAttempt(target_id="azure/gpt", status=429, reason="é,UF"), pb.FailedAttempt(reason="UT")]


def test_a_record_comes_back_as_it_was() -> None:
    record = usage(
        failed_attempts=FAILED, node_id="n1", response_flags="DC", cache_hit=True, estimated=True, expired=True,
        stream=True, end_user="Zoë", tag="a/b", price_version=2**32 - 1, earned_micro_usd=9,
    )  # fmt: skip
    (row,) = records.rows(batch(record), now_us=1)
    assert records.record(row) == record
    assert records.record(records.of_columns(tuple(row))) == record
    assert {field.name for field, _ in record.ListFields()} == set(pb.UsageRecord.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id": ""}, "records[1].id: missing"),
        ({"organisation_id": ""}, "records[1].organisation_id: missing"),
        ({"format": 2}, "records[1].format: 2 is not known; accepted: 1"),
        ({"model": "m" * 513}, "records[1].model: accepted: at most 512 characters"),
        ({"key_id": "a\x00b"}, "records[1].key_id: accepted: at most 128 characters, none of them NUL"),
        ({"cost_micro_usd": 10**15 + 1}, "records[1].cost_micro_usd: 1000000000000001 is out of range"),
        ({"prompt_tokens": 2**64 - 1}, "records[1].prompt_tokens: 18446744073709551615 is out of range"),
        ({"status": 1000}, "records[1].status: 1000 is out of range"),
        ({"started_at_us": -1}, "records[1].started_at_us: accepted:"),
        ({"failed_attempts": FAILED * 33}, "records[1].failed_attempts: 66 items; accepted: at most 64"),
        ({"failed_attempts": [pb.FailedAttempt(reason="r" * 513)]}, "records[1].failed_attempts: accepted:"),
    ],
)
def test_the_first_bad_record_is_named(fields: dict[str, Any], said: str) -> None:
    bad = usage(**fields)
    with pytest.raises(InvalidFieldError) as caught:
        records.rows(batch(usage(), bad, usage(id="")), now_us=1)
    assert str(caught.value).startswith(said)
    assert repr(bad.id) in str(caught.value)


def test_a_batch_is_bounded() -> None:
    assert len(records.rows(batch(*[usage()] * 1_000), now_us=1)) == 1_000
    with pytest.raises(InvalidFieldError, match="1001 items; accepted: at most 1,000"):
        records.rows(batch(*[usage()] * 1_001), now_us=1)


def test_what_the_client_wrote_never_costs_the_record() -> None:
    (row,) = records.rows(batch(usage(tag="t\x00" * 200, end_user="\x00")), now_us=1)
    assert (row.tag, row.end_user) == ("t\ufffd" * 128, "\ufffd")


def test_a_start_that_is_not_known_is_the_arrival() -> None:
    (row,) = records.rows(batch(usage(at=0)), now_us=MONDAY_10 * 1_000_000 + 7)
    assert (row.started_at_us, row.hour) == (MONDAY_10 * 1_000_000 + 7, MONDAY_10 // 3600)
