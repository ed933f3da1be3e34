"""Measurements of targets in usage records."""

from __future__ import annotations

from typing import Any

import pytest
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.xds_server.ledger.usage import usage
from xds_server.routing.slots import RouteCredential, RouteTarget, Slot, summarise
from xds_server.usage.records import columns

A, B = RouteCredential(RouteTarget("rt_a", "a/m")), RouteCredential(RouteTarget("rt_a", "b/m"))


def slots(**fields: Any) -> dict[RouteCredential, Slot]:
    return summarise(columns([usage(target_id="a/m", **fields)]))


def failed(status: int, target: str = "b/m", credential: int = 0) -> pb.FailedAttempt:
    return pb.FailedAttempt(target_id=target, status=status, credential_index=credential)


def test_a_stream_tells_its_first_byte_and_its_pace() -> None:
    slot = slots(stream=True, first_byte_us=400_000, duration_us=2_400_000, completion_tokens=50)[A]
    assert (slot.served, slot.streams, slot.reported, slot.completion_tokens) == (1, 1, 1, 50)
    assert sum(slot.first_us.values()) == sum(slot.token_us.values()) == 1
    assert slot.whole_us == {}


def test_a_plain_answer_tells_its_whole_time() -> None:
    slot = slots(stream=False)[A]
    assert sum(slot.whole_us.values()) == 1
    assert slot.first_us == slot.token_us == {}


def test_tokens_that_were_estimated_are_not_counted() -> None:
    slot = slots(estimated=True)[A]
    assert (slot.served, slot.reported, slot.prompt_tokens) == (1, 0, 0)


@pytest.mark.parametrize("fields", [{"cache_hit": True}, {"expired": True}, {"status": 400}, {"target_id": ""}])
def test_what_no_target_answered_says_nothing(fields: dict[str, Any]) -> None:
    assert summarise(columns([usage(**{"target_id": "a/m", **fields})])) == {}


@pytest.mark.parametrize(("status", "counted"), [(500, (1, 0)), (0, (1, 0)), (401, (1, 0)), (429, (0, 1))])
def test_a_failure_counts_where_another_target_served(status: int, counted: tuple[int, int]) -> None:
    found = slots(failed_attempts=[failed(status)])
    assert found[A].served == 1
    assert (found[B].failed, found[B].limited) == counted


@pytest.mark.parametrize("status", [429, 500, 502, 504])
def test_what_fails_everywhere_counts_against_nobody(status: int) -> None:
    assert slots(status=status, failed_attempts=[failed(500)]) == {}


def test_credentials_of_a_target_are_reported_apart() -> None:
    found = slots(credential_index=1, failed_attempts=[failed(401, "a/m"), failed(429, "a/m", 2)])
    assert {asked.credential_index: (each.served, each.failed, each.limited) for asked, each in found.items()} == {
        0: (0, 1, 0), 1: (1, 0, 0), 2: (0, 0, 1),
    }  # fmt: skip


def test_a_machine_that_fails_before_another_of_its_pool_serves_counts_against_nobody() -> None:
    assert slots(failed_attempts=[failed(500, "a/m")])[A].failed == 0


def test_an_answer_that_its_target_broke_off_counts_as_failed_and_one_that_its_client_left_does_not() -> None:
    assert slots(response_flags="UC")[A].failed == 1
    assert slots(response_flags="DC")[A].served == 1


def test_a_batch_counts_as_its_records_one_by_one() -> None:
    each: list[dict[str, Any]] = [
        {}, {"target_id": "b/m"}, {"credential_index": 1}, {"status": 500}, {"cache_hit": True}, {"target_id": ""},
        {"stream": True}, {"stream": True, "first_byte_us": 7_000, "completion_tokens": 1, "started_at_us": 8},
        {"estimated": True}, {"duration_us": 0}, {"response_flags": "UC"}, {"response_flags": "DC"},
        {"failed_attempts": [failed(500), failed(429, "a/m")]}, {"failed_attempts": [failed(500)], "status": 502},
    ]  # fmt: skip
    batch = [usage(**{"target_id": "a/m", **fields}) for fields in each]
    alone: dict[RouteCredential, Slot] = {}
    for record in batch:
        for asked, slot in summarise(columns([record])).items():
            alone.setdefault(asked, Slot()).add(slot)
    assert summarise(columns(batch)) == alone
    assert len(alone) == 3


def test_slots_add_up_in_any_order() -> None:
    def both(*order: dict[str, Any]) -> Slot:
        slot = Slot()
        for fields in order:
            slot.add(slots(**fields)[A])
        return slot

    one, other = {"stream": True}, {"stream": True, "first_byte_us": 9_000, "started_at_us": 5}
    assert both(one, other) == both(other, one)
    assert both(one, other).served == 2
