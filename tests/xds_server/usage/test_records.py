"""The stored form of a record, and that reading it returns the same record."""

from __future__ import annotations

from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.xds_server.ledger.usage import usage
from xds_server.ledger import blocks
from xds_server.usage import records

FAILED = [
    pb.FailedAttempt(target_id="azure/gpt", status=429, reason="é,UF"),
    pb.FailedAttempt(reason="UT", credential_index=2, duration_us=7_000),
]


def test_a_record_comes_back_as_it_was() -> None:
    record = usage(
        failed_attempts=FAILED, node_id="n1", response_flags="DC", cache_hit=True, estimated=True, expired=True,
        stream=True, end_user="Zoë", tag="a/b", price_version=2**32 - 1, earned_nano_usd=9_500,
        upstream_request_id="req_1", capped=True, claimed_prompt_tokens=10**9, claimed_completion_tokens=1,
        cache_write_tokens=2, cache_write_1h_tokens=3, audio_prompt_tokens=4, audio_completion_tokens=5, images=6,
        audio_in_ms=7, audio_out_ms=8, characters=9, search_units=10, service_tier="flex",
        saved_nano_usd=11, credential_index=3, cancelled=True,
    )  # fmt: skip
    columns = records.columns([record, usage()])
    stored = blocks.decode(blocks.encode(columns))
    for each in (columns, stored):
        assert records.record(records.rows(each)[0]) == record
    every = {*pb.UsageRecord.DESCRIPTOR.fields_by_name} - {"plain"}
    assert {field.name for field, _ in record.ListFields()} == every


def test_of_plain_records_only_what_they_have_is_asked_for() -> None:
    plain, other = usage(plain=True), usage(images=3, service_tier="flex")
    assert records.columns([plain]) == records.columns([usage(id=plain.id)])
    assert records.columns([plain, other])["images"] == (0, 3)
    assert set(records.columns([plain])) == set(records.Row._fields)


def test_what_the_client_wrote_never_costs_the_record() -> None:
    columns = records.columns([usage(tag="t\x00" * 200, end_user="\x00"), usage()])
    assert (columns["tag"], columns["end_user"]) == (["t\ufffd" * 128, ""], ["\ufffd", ""])


def test_an_older_translators_money_is_in_micro_usd_alone() -> None:
    sent = (
        pb.UsageRecord(id="a", format=1, started_at_us=1, organisation_id="o", cost_micro_usd=3),
        pb.UsageRecord(
            id="b", format=1, started_at_us=1, organisation_id="o", cost_micro_usd=1, cost_nano_usd=600
        ),
        pb.UsageRecord(id="c", format=1, started_at_us=1, organisation_id="o", node_id="n", earned_micro_usd=2),
    )
    columns = records.columns(sent)
    assert (columns["cost_nano_usd"], columns["earned_nano_usd"]) == ([3_000, 600, 0], [0, 0, 2_000])
