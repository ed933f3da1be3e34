"""Which records can be stored, and the reasons given for the others."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.xds_server.ledger.usage import batch, packed, packed_batch, usage
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
@pytest.mark.parametrize("batch", [batch, packed_batch])
def test_a_bad_record_is_named_and_costs_no_other(
    fields: dict[str, Any], said: str, batch: Callable[..., pb.AppendRequest]
) -> None:
    good = [usage(), usage(failed_attempts=FAILED)]
    found = checking.sort_out(batch(good[0], usage(**fields), good[1], usage(id="", model="without an id")))
    named, other = found.refused
    assert f"{named.field}: {named.reason}".startswith(said)
    assert (other.record.model, other.field, other.reason) == ("without an id", "id", "missing")
    assert found.columns["id"] == [each.id for each in good]


def test_nothing_is_left_of_a_batch_of_bad_records() -> None:
    for made in (batch, packed_batch):
        found = checking.sort_out(made(usage(id=""), usage(format=0)))
        assert (found.columns, len(found.refused)) == ({}, 2)


def test_a_call_is_bounded() -> None:
    checking.check_request(batch(*[usage()] * 1_000))
    with pytest.raises(InvalidFieldError, match="1001 items; accepted: at most 1,000"):
        checking.check_request(batch(*[usage()] * 1_001))
    with pytest.raises(InvalidFieldError, match="1001 items; accepted: at most 1,000"):
        checking.check_request(pb.AppendRequest(records=[usage()] * 500, packed=packed(*[usage()] * 501)))
    with pytest.raises(InvalidFieldError, match="at most 128 characters"):
        checking.check_request(pb.AppendRequest(source="s" * 129))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": ["a"]}, "packed.started_at_us: 2 values; accepted: 1, one for each id, or none"),
        ({"cost_nano_usd": [1, 2, 3]}, "packed.cost_nano_usd: 3 values; accepted: 2"),
        ({"template": [0]}, "packed.template: accepted: one for each id"),
        ({"template": [0, 1]}, "packed.template: accepted: indices of packed.templates"),
        ({"id": [], "template": []}, "packed.template: accepted: one for each id, at least one"),
        ({"templates": []}, "packed.template: accepted: indices of packed.templates"),
        ({"templates": [b"\xff"]}, "packed.templates: accepted: encoded usage records"),
    ],
)
def test_columns_that_do_not_fit_together_are_refused(change: dict[str, list[Any]], reason: str) -> None:
    request = packed_batch(usage(id="a"), usage(id="b"))
    for name, column in change.items():
        request.packed.ClearField(name)  # type: ignore[arg-type]
        getattr(request.packed, name).extend(column)

    def check() -> None:
        checking.check_request(request)
        checking.sort_out(request)

    with pytest.raises(InvalidFieldError, match=re.escape(reason)):
        check()


def test_what_is_unusual_is_looked_at_and_taken() -> None:
    """A record with the longest texts and the largest numbers allowed is accepted."""
    unusual = usage(model="é" * 512, cost_nano_usd=10**13, failed_attempts=FAILED)
    columns, refused = checking.sort_out(batch(usage(), unusual))
    assert refused == []
    assert columns["failed_attempts"] == [(), [("azure/gpt", 429, "é,UF", 0, 0), ("", 0, "UT", 0, 0)]]
    assert columns["cost_nano_usd"] == (600_000, 10**13)
