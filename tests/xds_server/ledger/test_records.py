"""What of a record is accepted, and that it comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.xds_server.ledger.usage import batch, usage
from xds_server.errors import InvalidFieldError
from xds_server.ledger import blocks, records

FAILED = [pb.FailedAttempt(target_id="azure/gpt", status=429, reason="é,UF"), pb.FailedAttempt(reason="UT")]


def test_a_record_comes_back_as_it_was() -> None:
    record = usage(
        failed_attempts=FAILED, node_id="n1", response_flags="DC", cache_hit=True, estimated=True, expired=True,
        stream=True, end_user="Zoë", tag="a/b", price_version=2**32 - 1, earned_nano_usd=9_500,
        upstream_request_id="req_1", capped=True, claimed_prompt_tokens=10**9, claimed_completion_tokens=1,
        cache_write_tokens=2, cache_write_1h_tokens=3, audio_prompt_tokens=4, audio_completion_tokens=5, images=6,
        audio_in_ms=7, audio_out_ms=8, characters=9, search_units=10, service_tier="flex",
    )  # fmt: skip
    columns = records.columns(batch(record, usage()))
    stored = blocks.decode(blocks.encode(columns))
    for each in (columns, stored):
        assert records.record(records.rows(each)[0]) == record
    assert {field.name for field, _ in record.ListFields()} == set(pb.UsageRecord.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id": ""}, "records[1].id: missing"),
        ({"organisation_id": ""}, "records[1].organisation_id: missing"),
        ({"format": 2}, "records[1].format: 2 is not known; accepted: 1"),
        ({"model": "m" * 513}, "records[1].model: accepted: at most 512 characters"),
        ({"key_id": "a\x00b"}, "records[1].key_id: accepted: at most 128 characters, none of them NUL"),
        ({"cost_nano_usd": 10**13 + 1}, "records[1].cost_nano_usd: 10000000000001 is out of range"),
        ({"prompt_tokens": 2**64 - 1}, "records[1].prompt_tokens: 18446744073709551615 is out of range"),
        ({"status": 1000}, "records[1].status: 1000 is out of range"),
        ({"at": 0}, "records[1].started_at_us: accepted: Unix microseconds, from 1 to"),
        ({"at": -1}, "records[1].started_at_us: accepted:"),
        ({"at": 253_402_300_800}, "records[1].started_at_us: accepted:"),
        ({"failed_attempts": FAILED * 33}, "records[1].failed_attempts: 66 items; accepted: at most 64"),
        ({"failed_attempts": [pb.FailedAttempt(reason="r" * 513)]}, "records[1].failed_attempts: accepted:"),
    ],
)
def test_the_first_bad_record_is_named(fields: dict[str, Any], said: str) -> None:
    bad = usage(**fields)
    with pytest.raises(InvalidFieldError) as caught:
        records.columns(batch(usage(), bad, usage(id="")))
    assert str(caught.value).startswith(said)
    assert repr(bad.id) in str(caught.value)


def test_a_batch_is_bounded() -> None:
    assert len(records.columns(batch(*[usage()] * 1_000))["id"]) == 1_000
    with pytest.raises(InvalidFieldError, match="1001 items; accepted: at most 1,000"):
        records.columns(batch(*[usage()] * 1_001))
    assert records.columns(batch()) == {}


def test_what_the_client_wrote_never_costs_the_record() -> None:
    columns = records.columns(batch(usage(tag="t\x00" * 200, end_user="\x00"), usage()))
    assert (columns["tag"], columns["end_user"]) == (["t\ufffd" * 128, ""], ["\ufffd", ""])


def test_an_older_translators_money_is_in_micro_usd_alone() -> None:
    sent = (
        pb.UsageRecord(id="a", format=1, started_at_us=1, organisation_id="o", cost_micro_usd=3),
        pb.UsageRecord(
            id="b", format=1, started_at_us=1, organisation_id="o", cost_micro_usd=1, cost_nano_usd=600
        ),
        pb.UsageRecord(id="c", format=1, started_at_us=1, organisation_id="o", node_id="n", earned_micro_usd=2),
    )
    columns = records.columns(batch(*sent))
    assert (columns["cost_nano_usd"], columns["earned_nano_usd"]) == ([3_000, 600, 0], [0, 0, 2_000])


def test_what_is_unusual_is_looked_at_and_taken() -> None:
    """The longest and largest that there may be."""
    columns = records.columns(batch(usage(), usage(model="é" * 512, cost_nano_usd=10**13, failed_attempts=FAILED)))
    assert columns["failed_attempts"] == [(), [("azure/gpt", 429, "é,UF"), ("", 0, "UT")]]
    assert columns["cost_nano_usd"] == (600_000, 10**13)
