"""The stored form of a record, and that reading it returns the same record."""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.xds_server.ledger.usage import packed, usage
from xds_server.ledger import blocks
from xds_server.usage import records

FAILED = [
    pb.FailedAttempt(target_id="azure/gpt", status=429, reason="é,UF"),
    pb.FailedAttempt(reason="UT", credential_index=2, duration_us=7_000),
]


def test_a_record_comes_back_as_it_was() -> None:
    record = usage(
        failed_attempts=FAILED, node_id="n1", response_flags="DC", cache_hit=True, estimated=True, expired=True,
        target_status=401,
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


@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": st.uuids().map(str)},
            optional={
                "model": st.sampled_from(["a", "b"]), "end_user": st.text(max_size=3), "stream": st.booleans(),
                "node_id": st.just("n1"), "service_tier": st.just("flex"), "images": st.integers(0, 9),
                "failed_attempts": st.just(FAILED), "upstream_request_id": st.text(max_size=3),
                **dict.fromkeys(("cost_nano_usd", "earned_nano_usd", "saved_nano_usd"), st.integers(0, 10**13)),
                **dict.fromkeys(("request_bytes", "cached_tokens", "reasoning_tokens"), st.integers(0, 10**13)),
            },
        ),
        min_size=1,
    ),
    st.integers(0, 5),
)  # fmt: skip
def test_packed_records_are_those_that_were_packed(fields: list[dict[str, Any]], messages: int) -> None:
    sent = [usage(**each) for each in fields]
    request = pb.AppendRequest(records=sent[:messages])
    if sent[messages:]:
        request.packed.CopyFrom(packed(*sent[messages:]))
    assert records.messages(request) == sent
    found = records.received(request)
    expected = records.columns(sent)
    assert {name: list(column) for name, column in found.columns.items()} == {
        name: list(column) for name, column in expected.items()
    }
    assert found.formats == {1}


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
